//! What can be between us and PostgreSQL: a pooler that gives each transaction another connection, and TLS.

use std::str::FromStr;

use kit::Database;
use kit::database::{of_xtask, postgres_server};
use pika_store::{By, Error, Store, Token, TokenKind};
use protocol::MessageId;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

fn token(name: String) -> Token {
    Token {
        name,
        kind: TokenKind::Desk,
        event: "tonight".parse().unwrap(),
        floor: None,
        sha256: [7; 32],
        expires_ms: None,
        revoked_ms: None,
    }
}

/// Several programs at once, each with connections of its own: everybody's statements meet on few connections.
/// Returns what was refused.
async fn crowd(stores: &[Store]) -> Vec<Error> {
    let mut clients = tokio::task::JoinSet::new();
    for (client, store) in stores.iter().cloned().enumerate() {
        for task in 0..4 {
            let store = store.clone();
            clients.spawn(async move {
                let mut refused = Vec::new();
                for n in 0..25 {
                    let name = format!("{client}-{task}-{n}");
                    let id = MessageId::at(1, [0, 0, 0, 0, 0, 0, 0, client as u8, task as u8, n]);
                    let by = By { who: "ada".to_owned(), at_ms: i64::from(n), id };
                    let mut revoking = by.clone();
                    revoking.id = MessageId::at(2, [0, 0, 0, 0, 0, 0, 0, client as u8, task as u8, n]);
                    // Other statements for each, so that those of one client are not like those of the next.
                    let outcome = match (client + task) % 3 {
                        0 => store.tokens().await.map(drop),
                        1 => store.token_verifiers().await.map(drop),
                        _ => store.events().await.map(drop),
                    };
                    refused.extend(outcome.err());
                    refused.extend(store.add_token(&token(name.clone()), &name, None, &by).await.err());
                    refused.extend(store.revoke_token(&name, &revoking).await.err());
                }
                refused
            });
        }
    }
    clients.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_share_a_pooler_and_none_is_refused() {
    let database = Database::pgbouncer();
    let stores: Vec<Store> = (0..6).map(|_| database.store()).collect();
    // All at once: the pooler could give the lock of one to another.
    let migrated: Vec<_> =
        stores.iter().cloned().map(|store| tokio::spawn(async move { store.migrate().await })).collect();
    for migration in migrated {
        migration.await.unwrap().unwrap();
    }
    let refused = crowd(&stores).await;
    assert!(refused.is_empty(), "{} refused, among them {:?}", refused.len(), refused.first());
    let tokens = stores[0].tokens().await.unwrap();
    let verifiers = stores[0].token_verifiers().await.unwrap();
    assert_eq!(tokens.len(), 6 * 4 * 25);
    for token in tokens {
        let at: i64 = token.name.rsplit('-').next().unwrap().parse().unwrap();
        assert_eq!(token.revoked_ms, Some(at), "nobody's statement ran with another's values");
        assert_eq!(verifiers[&token.name], token.name);
    }
}

/// Or the test above would show nothing: what sqlx does by itself goes wrong there.
#[tokio::test(flavor = "multi_thread")]
async fn named_statements_go_wrong_behind_a_pooler() {
    let options = PgConnectOptions::from_str(&Database::pgbouncer().url).unwrap().extra_float_digits(None);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..6 {
        let pool = PgPoolOptions::new().max_connections(4).connect_lazy_with(options.clone());
        let text = ["select $1::bigint", "select $1::bigint + 1", "select $1::bigint + 2"][client % 3];
        clients.spawn(async move {
            let ask = |n: i64| sqlx::query_as::<_, (i64,)>(text).bind(n).fetch_one(&pool);
            let mut wrong = 0;
            for n in 0..100 {
                let expected = n + (client % 3) as i64;
                wrong += usize::from(!ask(n).await.is_ok_and(|(answer,)| answer == expected));
            }
            wrong
        });
    }
    assert_ne!(clients.join_all().await.into_iter().sum::<usize>(), 0);
}

#[tokio::test]
async fn a_server_is_known_by_the_authority_that_vouches_for_it() {
    let authorities = of_xtask("PIKA_TEST_AUTHORITIES");
    let url = |authority: &str| {
        format!("{}?sslmode=verify-full&sslrootcert={authorities}/{authority}", postgres_server())
    };
    let store = Store::open(&url("ca.pem").parse().unwrap()).unwrap();
    store.ping().await.unwrap();
    for wrong in [url("other-ca.pem"), url("ca.pem").replace("127.0.0.1", "localhost")] {
        let store = Store::open(&wrong.parse().unwrap()).unwrap();
        let said = format!("{:?}", store.ping().await.unwrap_err());
        assert!(said.to_lowercase().contains("cert"), "{said}");
    }
    let store = Store::open(&format!("{}?sslmode=verify-full", postgres_server()).parse().unwrap()).unwrap();
    assert!(store.ping().await.is_err(), "nobody else vouches for it");
}
