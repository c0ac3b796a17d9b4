//! The Dockerfile's steps without an engine. The build runs on this machine instead of in the image that it names, in a copy of what an
//! engine would be given. What the last image would hold, a root folder holds; there the program starts as the image's user, with nothing
//! else in reach, and the health check has to be content with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::tools::{self, Tool};
use crate::{root, target};

#[derive(Debug, clap::Args)]
pub struct ImageCheck {
    /// Builds as the image does, which takes a quarter of an hour; by default without optimizing
    #[arg(long)]
    release: bool,
    /// Makes a real image of it, and a container of that, with Podman. Whatever comes from a registry is this machine's all the same
    #[arg(long)]
    podman: bool,
}

/// From a `FROM` to the next.
#[derive(Debug, Default)]
struct Stage {
    base: String,
    name: Option<String>,
    steps: Vec<(String, String)>,
}

impl Stage {
    /// What follows the last step of that kind.
    fn last(&self, kind: &str) -> Option<&str> {
        self.steps.iter().rev().find(|(word, _)| word == kind).map(|(_, rest)| &**rest)
    }
}

pub fn check(flags: &ImageCheck) -> anyhow::Result<()> {
    let text = fs::read_to_string(root().join("docker/Dockerfile")).context("read the Dockerfile")?;
    let stages = stages(&text)?;
    let build =
        stages.iter().find(|stage| stage.name.as_deref() == Some("build")).context("no stage builds")?;
    let last = stages.last().context("the Dockerfile is empty")?;
    ensure!(last.base == "scratch", "the last image has more in it than what is copied: {}", last.base);

    let folder = target().join("image-check");
    let context = folder.join("context");
    lay_out_context(&context)?;
    // What was built before is not built again.
    fs::create_dir_all(target()).context("make the target folder")?;
    std::os::unix::fs::symlink(fs::canonicalize(target())?, context.join("target"))
        .context("lend the target folder")?;
    let workdir = build.last("WORKDIR").context("the build has no WORKDIR")?;
    for (word, rest) in &build.steps {
        match &**word {
            "RUN" => {
                let line = match flags.release {
                    true => rest.clone(),
                    false => rest.replace("--release ", "").replace("target/release", "target/debug"),
                };
                if are_here(&line) {
                    println!("· here already: {line}");
                    continue;
                }
                println!("· RUN {line}");
                let mut shell = Command::new("sh");
                shell.args(["-c", &line]).current_dir(&context).env_remove("CARGO_TARGET_DIR");
                crate::forget_ourselves(&mut shell);
                run(&mut shell)?;
            }
            "WORKDIR" => {}
            "COPY" => ensure!(rest == ". .", "the build is given more than the folder: COPY {rest}"),
            other => bail!("nobody knows how to do {other} {rest} without an engine"),
        }
    }

    let image = folder.join("root");
    match fs::remove_dir_all(&image) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", image.display()));
        }
        _ => fs::create_dir_all(&image)?,
    }
    for (_, rest) in last.steps.iter().filter(|(word, _)| word == "COPY") {
        copy(rest, workdir, &context, &image)?;
    }
    starts(last, &image)?;
    if flags.podman {
        in_a_container(&text, &folder)?;
    }
    Ok(())
}

/// Whether the step only installs packages of Debian's that this machine has. Nobody asked to bring those up to date.
fn are_here(line: &str) -> bool {
    let Some((_, packages)) = line.split_once("apt-get install ") else { return false };
    let packages = packages.split_whitespace().filter(|word| !word.starts_with('-'));
    let query =
        Command::new("dpkg-query").args(["--show", "--showformat=${Status}\n"]).args(packages).output();
    query.is_ok_and(|said| {
        said.status.success()
            && String::from_utf8_lossy(&said.stdout).lines().all(|line| line.ends_with(" installed"))
    })
}

/// Lines that end in a backslash go on in the next one.
fn stages(text: &str) -> anyhow::Result<Vec<Stage>> {
    let mut stages: Vec<Stage> = Vec::new();
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').with_context(|| format!("read `{line}`"))?;
        if word == "FROM" {
            let (base, name) =
                rest.split_once(" AS ").map_or((rest, None), |(base, name)| (base, Some(name)));
            stages.push(Stage { base: base.to_owned(), name: name.map(str::to_owned), steps: Vec::new() });
        } else {
            let stage = stages.last_mut().context("a step before the first FROM")?;
            stage.steps.push((word.to_owned(), rest.trim().to_owned()));
        }
    }
    Ok(stages)
}

/// What an engine is given: everything but what `.dockerignore` names. What git does not know is no part of a release either.
fn lay_out_context(context: &Path) -> anyhow::Result<()> {
    // A link to the target folder is in there, and only the link may go.
    _ = fs::remove_file(context.join("target"));
    _ = fs::remove_dir_all(context);
    let ignored = fs::read_to_string(root().join(".dockerignore")).context("read .dockerignore")?;
    let ignored: Vec<&str> = ignored.lines().collect();
    for name in crate::tidy::tracked()? {
        if ignored.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let to = context.join(&name);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))?;
        }
        // With its times, or cargo would build everything again that it has built from here before.
        run(Command::new("cp").arg("--preserve=mode,timestamps").arg(root().join(&name)).arg(&to))?;
    }
    Ok(())
}

/// `COPY --from=build [--chown=USER:GROUP] SOURCE PLACE`
fn copy(rest: &str, workdir: &str, context: &Path, image: &Path) -> anyhow::Result<()> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [flags @ .., source, place] = &words[..] else { bail!("read COPY {rest}") };
    ensure!(flags.contains(&"--from=build"), "COPY {rest} takes something from outside");
    let source: PathBuf = match source.strip_prefix(workdir) {
        Some(below) => context.join(below.trim_start_matches('/')),
        None => bail!("COPY {rest} takes what this machine has, and not what was built"),
    };
    let place = image.join(place.trim_start_matches('/'));
    let owner = flags.iter().find_map(|flag| flag.strip_prefix("--chown=")).unwrap_or("0:0");
    let beside = image.with_extension("part");
    _ = fs::remove_dir_all(&beside);
    run(Command::new("cp").args(["-R", "--preserve=mode"]).arg(&source).arg(&beside))?;
    run(Command::new("chown").args(["-R", owner]).arg(&beside))?;
    run(Command::new("cp").args(["-R", "--preserve=mode,ownership"]).arg(beside.join(".")).arg(&place))?;
    fs::remove_dir_all(&beside).with_context(|| format!("remove {}", beside.display()))?;
    // The root of an image is everybody's to enter and nobody's to change.
    run(Command::new("chown").arg("0:0").arg(image))
}

/// In a network of its own, where every port is free; nothing but the image is in reach. The second program finds the first by
/// name, since programs without libraries often cannot.
const STARTS: &str = r#"
set -eu
ip link set lo up
# What every engine adds to an image.
mkdir -p "$ROOT/etc" "$ROOT/dev" "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount --rbind /proc "$ROOT/proc"
echo '127.0.0.1 localhost broker' > "$ROOT/etc/hosts"
inside() { chroot --userspec="$USER_OF_IMAGE" "$ROOT" "$@"; }
until_well() {
	tries=0
	until inside $HEALTHCHECK; do
		tries=$((tries + 1))
		[ "$tries" -lt 60 ] || { echo "it never became well"; return 1; }
		sleep 0.5
	done
}
trap 'kill $first $second 2>/dev/null || true' EXIT
second=
chroot --userspec="$USER_OF_IMAGE" "$ROOT" $ENTRYPOINT $CMD & first=$!
until_well
token=$(inside $ENTRYPOINT token add second --kind service)
export PIKA__HEALTH__PORT=9191 PORT=3902 PIKA__WEB__NAME=second PIKA_BROKER_URL="mqtt://second:$token@broker:1883"
chroot --userspec="$USER_OF_IMAGE" "$ROOT" $ENTRYPOINT webapp & second=$!
until_well
kill -TERM "$second" && wait "$second"
kill -TERM "$first" && wait "$first"
trap - EXIT
"#;

fn starts(stage: &Stage, image: &Path) -> anyhow::Result<()> {
    let user = stage.last("USER").context("the image has no USER")?;
    ensure!(!["0", "root"].contains(&user.split(':').next().unwrap_or_default()), "the image runs as root");
    let health =
        stage.last("HEALTHCHECK").and_then(|rest| rest.split_once("CMD ")).context("no HEALTHCHECK")?.1;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", STARTS]).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("ROOT", image).env("USER_OF_IMAGE", user);
    for (name, words) in [
        ("ENTRYPOINT", stage.last("ENTRYPOINT").context("no ENTRYPOINT")?),
        ("CMD", stage.last("CMD").context("no CMD")?),
        ("HEALTHCHECK", health),
    ] {
        let words: Vec<String> =
            serde_json::from_str(words).with_context(|| format!("read {name} {words}"))?;
        command.env(name, words.join(" "));
    }
    for (_, rest) in stage.steps.iter().filter(|(word, _)| word == "ENV") {
        let (name, value) = rest.split_once('=').with_context(|| format!("read ENV {rest}"))?;
        command.env(name, value);
    }
    println!("· start it, and ask whether it is well");
    run(&mut command)?;
    let executable = image.join("usr/bin/pika");
    let bytes = fs::metadata(&executable).with_context(|| format!("look at {}", executable.display()))?.len();
    println!("· the image's executable has {} MB and needs no library", bytes / 1_000_000);
    Ok(())
}

const PODMAN: &[Tool] = &[
    Tool { program: "podman", package: "podman" },
    Tool { program: "buildah", package: "buildah" },
    Tool { program: "runc", package: "runc" },
];

/// In a network of its own, where no port is taken. Health checks by a clock would be systemd's, and limits beyond those of
/// this process need more rights than a machine for tests has.
const CONTAINER: &str = r#"
set -eu
ip link set lo up
engine() {
	podman --root "$STORE/images" --runroot "$STORE/run" --storage-driver vfs --cgroup-manager cgroupfs --runtime runc "$@"
}
engine build --quiet --isolation chroot --tag build --file "$STORE/build.Dockerfile" "$CONTEXT"
engine build --quiet --isolation chroot --format docker --tag pika:check --file "$STORE/last.Dockerfile" "$CONTEXT"
engine rm --force --ignore pika > "$STORE/log"
trap 'engine rm --force --ignore pika > "$STORE/log"' EXIT
engine run --detach --name pika --network host --cgroups no-conmon --no-healthcheck \
	--ulimit nofile=10000:10000 --ulimit nproc=1000:1000 \
	--read-only --cap-drop all --security-opt no-new-privileges --volume data:/data pika:check
tries=0
until engine exec pika /usr/bin/pika healthy; do
	tries=$((tries + 1))
	[ "$tries" -lt 60 ] || { engine logs pika; exit 1; }
	sleep 0.5
done
engine stop --time 10 pika
status=$(engine inspect pika --format '{{.State.ExitCode}} {{.Config.User}}')
[ "$status" = '0 10001:10001' ] || { echo "it ended with $status"; engine logs pika; exit 1; }
"#;

/// The first stage is an image of what was built here; the last is the Dockerfile's, word for word.
fn in_a_container(text: &str, folder: &Path) -> anyhow::Result<()> {
    tools::install(PODMAN)?;
    let (store, context) = (folder.join("podman"), folder.join("context"));
    fs::create_dir_all(&store).with_context(|| format!("make {}", store.display()))?;
    let (_, last) = text.rsplit_once("\nFROM ").context("the Dockerfile has one stage")?;
    for (name, text) in [
        ("build.Dockerfile", "FROM scratch\nCOPY image /pika/image\n".to_owned()),
        ("last.Dockerfile", format!("FROM localhost/build AS build\nFROM {last}")),
    ] {
        fs::write(store.join(name), text).with_context(|| format!("write {name}"))?;
    }
    println!("· an image of it, and a container of that");
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", CONTAINER]).env("STORE", &store).env("CONTEXT", &context);
    run(&mut command)
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("run {command:?}"))?;
    if status.success() { Ok(()) } else { bail!("{command:?} failed") }
}
