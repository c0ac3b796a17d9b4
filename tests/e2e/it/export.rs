//! `pika token export`: a real mosquitto lets everybody do what our own broker would, and nothing else.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use kit::brokers::Broker;
use kit::mosquitto::{self, Subscriber};
use kit::process;

/// Runs a command that ends by itself and returns its standard output and standard error.
pub fn pika(data: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> (String, String) {
    let done = process::command(data).args(arguments).envs(settings.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    (text(&done.stdout), text(&done.stderr))
}

fn add(data: &Path, arguments: &[&str]) -> String {
    let (out, _) = pika(data, &[&["token", "add"], arguments].concat(), &[("PIKA__EVENT__ID", "night")]);
    out.lines().last().unwrap().to_owned()
}

/// Who: desk `anna` of floor `main`, desk `rover` of all floors, service, integrator, anonymous.
/// w writes, r reads, b both, - neither.
const MATRIX: &[(&str, &str)] = &[
    ("pika/v1/night/main/desk/anna/status", "b-r--"),
    ("pika/v1/night/main/desk/anna/state", "b-r--"),
    ("pika/v1/night/main/desk/anna/play", "b-r--"),
    ("pika/v1/night/main/desk/anna/cover", "b-r--"),
    ("pika/v1/night/main/desk/rover/play", "-br--"),
    ("pika/v1/night/attic/desk/rover/play", "-br--"),
    ("pika/v1/night/main/desk/bert/play", "--r--"),
    ("pika/v1/night/attic/desk/anna/play", "--r--"),
    ("pika/v1/other/main/desk/anna/play", "-----"),
    ("pika/v1/night/main/in/anna", "w-b--"),
    ("pika/v1/night/attic/in/rover", "-wb--"),
    ("pika/v1/night/main/in/web", "--b--"),
    ("pika/v1/night/cursor/anna", "r-b--"),
    ("pika/v1/night/cursor/rover", "-rb--"),
    ("pika/v1/night/cursor/bert", "--b--"),
    ("pika/v1/night/audience/web", "--b--"),
    ("pika/v1/night/info", "rrbrr"),
    ("pika/v1/night/main/now", "rrbrr"),
    ("pika/v1/night/main/now/title", "rrbrr"),
    ("pika/v1/night/attic/now", "-rbrr"),
    ("pika/v1/night/main/history", "rrbrr"),
    ("pika/v1/night/main/reactions", "rrbrr"),
    ("pika/v1/night/main/event", "rrbrr"),
    ("pika/v1/night/main/announcement", "rrbrr"),
    ("pika/v1/night/main/poll", "rrbrr"),
    ("pika/v1/other/main/now", "----r"),
    ("pika/v2/night/main/now", "-----"),
    ("homeassistant/status", "-----"),
];

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_enforces_the_access_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let anna = add(data, &["anna", "--kind", "desk", "--floor", "main"]);
    let rover = add(data, &["rover", "--kind", "desk"]);
    let service = add(data, &["archiver", "--kind", "service"]);
    let lights = add(data, &["lights", "--kind", "integrator", "--expires", "90d"]);
    let revoked = add(data, &["gone", "--kind", "service"]);
    pika(data, &["token", "revoke", "gone"], &[]);
    let out = data.join("for mosquitto");
    let (lines, said) =
        pika(data, &["token", "export", "--format", "mosquitto", "--out", out.to_str().unwrap()], &[]);
    assert!(said.contains("4 tokens") && said.contains("`lights` expires"), "{said}");
    for token in [&anna, &rover, &service, &lights, &revoked] {
        let files = fs::read_to_string(out.join("pika.passwd")).unwrap() + &lines;
        assert!(!files.contains(token.as_str()), "a token is nowhere in the export");
    }

    // The exported lines as they are, and beside them a listener that lets us see and say everything.
    let all = kit::ports::free();
    let config = format!("{lines}listener {all} 127.0.0.1\nallow_anonymous true\n");
    let broker = Broker::mosquitto(&config).await;
    let free = open_listener(all).await;
    let who: [&[&str]; 5] = [
        &["-u", "anna", "-P", &anna],
        &["-u", "rover", "-P", &rover],
        &["-u", "archiver", "-P", &service],
        &["-u", "lights", "-P", &lights],
        &[],
    ];

    // Reading: each asks for everything, and we say everything.
    let everything: Vec<&str> = "-t # -v -q 1".split(' ').collect();
    let readers: Vec<Subscriber> = who
        .iter()
        .map(|login| Subscriber::start(&broker.address, &[login, &everything[..]].concat()))
        .collect();
    // A retained message that each may read shows that the subscription stands.
    let ready = ["-t", "pika/v1/night/info", "-q", "1", "-r", "-m", "ready"];
    assert!(mosquitto::publish(&free, &ready).await.0);
    for reader in &readers {
        reader.prints("pika/v1/night/info ready").await;
    }
    for (topic, _) in MATRIX {
        assert!(mosquitto::publish(&free, &["-t", topic, "-q", "1", "-m", "said"]).await.0);
    }
    assert!(mosquitto::publish(&free, &["-t", "pika/v1/night/info", "-q", "1", "-m", "end"]).await.0);
    for (place, reader) in readers.iter().enumerate() {
        reader.prints("pika/v1/night/info end").await;
        let lines = reader.lines();
        for (topic, rights) in MATRIX {
            let may = matches!(rights.as_bytes()[place], b'r' | b'b');
            let line = format!("{topic} said");
            assert_eq!(lines.contains(&line), may, "reader {place} and {topic}");
        }
    }

    // Writing: each says everything, and we see what got through. MQTT 5 names the refusal.
    let seen = Subscriber::start(&free, &everything);
    seen.prints("pika/v1/night/info ready").await;
    for (place, login) in who.iter().enumerate() {
        for (topic, rights) in MATRIX {
            let may = matches!(rights.as_bytes()[place], b'w' | b'b');
            let payload = format!("from-{place}");
            let say = ["-t", topic, "-q", "1", "-V", "5", "-m", &payload];
            let (_, complaint) = mosquitto::publish(&broker.address, &[login, &say[..]].concat()).await;
            assert_eq!(!complaint.contains("Not authorized"), may, "writer {place} and {topic}: {complaint}");
        }
    }
    assert!(mosquitto::publish(&free, &["-t", "pika/v1/night/info", "-q", "1", "-m", "over"]).await.0);
    seen.prints("pika/v1/night/info over").await;
    let lines = seen.lines();
    for place in 0..who.len() {
        for (topic, rights) in MATRIX {
            let may = matches!(rights.as_bytes()[place], b'w' | b'b');
            assert_eq!(lines.contains(&format!("{topic} from-{place}")), may, "writer {place} and {topic}");
        }
    }

    // Nobody gets in with a revoked token or a wrong one.
    for (name, token) in [("gone", revoked.as_str()), ("anna", &rover), ("anna", "")] {
        let say = ["-u", name, "-P", token, "-t", "pika/v1/night/info", "-q", "1", "-m", "x"];
        let (done, complaint) = mosquitto::publish(&broker.address, &say).await;
        assert!(!done && complaint.contains("not authorised"), "{name}: {complaint}");
    }
}

async fn open_listener(port: u16) -> String {
    let address = format!("127.0.0.1:{port}");
    kit::wait::until("the listener for the test", || async {
        std::net::TcpStream::connect(&address).map(drop).map_err(|error| error.to_string())
    })
    .await;
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn without_anonymous_reading_nobody_reads_without_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let lights = add(folder.path(), &["lights", "--kind", "integrator"]);
    let public = [("PIKA__BROKER__ANONYMOUS_READ", "false")];
    let (lines, _) = pika(folder.path(), &["token", "export", "--format", "mosquitto"], &public);
    assert!(folder.path().join("mosquitto/pika.acl").is_file(), "beside the other data by default");
    let broker = Broker::mosquitto(&lines).await;
    let say = ["-t", "pika/v1/night/info", "-q", "1", "-m", "x"];
    let (done, complaint) = mosquitto::publish(&broker.address, &say).await;
    assert!(!done && complaint.contains("not authorised"), "{complaint}");
    let login = ["-u", "lights", "-P", &lights];
    assert!(mosquitto::publish(&broker.address, &[&login[..], &say].concat()).await.0);
}

#[test]
fn programs_that_begin_at_the_same_moment_share_a_new_database() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..6).map(|n| format!("desk-{n}")).collect();
        let running: Vec<_> = names
            .iter()
            .map(|name| {
                let mut command = process::command(folder.path());
                command.args(["token", "add", name, "--kind", "desk"]);
                command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        for program in running {
            let done = program.wait_with_output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
    }
}
