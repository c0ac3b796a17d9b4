//! A cable that can be pulled: TCP between two programs, cut and put back by the test.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::ports;

/// Passes connections on to an address until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// `host:port` to connect to.
    pub address: String,
    is_whole: watch::Sender<bool>,
}

impl Proxy {
    pub async fn to(target: &str) -> Self {
        let address = format!("127.0.0.1:{}", ports::free());
        let listener = TcpListener::bind(&address).await.unwrap();
        let (is_whole, watched) = watch::channel(true);
        tokio::spawn(serve(listener, target.to_owned(), watched));
        Self { address, is_whole }
    }

    /// Ends all connections; new ones end at once.
    pub fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.is_whole.send_replace(true);
    }
}

async fn serve(listener: TcpListener, target: String, mut is_whole: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The test is over.
            changed = is_whole.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        let Ok((mut near, _)) = accepted else { continue };
        if !*is_whole.borrow() {
            continue;
        }
        let (target, mut is_whole) = (target.clone(), is_whole.clone());
        tokio::spawn(async move {
            let Ok(mut far) = TcpStream::connect(&target).await else { return };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = is_whole.wait_for(|is_whole| !is_whole) => {}
            }
        });
    }
}
