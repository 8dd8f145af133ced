//! Writes the register of an invented town as a folder, and serves the same site: what the browser tests read.
//!
//! `register_town DIR` writes `DIR/plain` (600 entries) and `DIR/loud` (the custody label, logs that lie or are silent);
//! `register_town DIR --serve` also serves the plain one on loopback and writes its address to `DIR/address`, until it is
//! killed.
#![expect(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a tool of the tests: it ends where something is not as it must be"
)]

#[path = "../tests/it/register/town.rs"]
mod town;

use std::path::Path;
use std::sync::Arc;

use lockplate_node::http::{Limits, ListenOn, Server, TlsMode};
use lockplate_node::register::{self, Shown};
use lockplate_node::shutdown::Tasks;
use town::{Plan, Town};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(&arguments[0]);
    let plain = Town::of(&Plan { requests: 600, ..Plan::default() }).site();
    let loud = Town::of(&Plan { requests: 60, one_party: true, trouble: true, ..Plan::default() }).site();
    for (site, name) in [(&plain, "plain"), (&loud, "loud")] {
        let files = register::write_to(site, &folder.join(name)).unwrap();
        println!("{name}: {files} files");
    }
    if arguments.get(1).is_some_and(|argument| argument == "--serve") {
        let tasks = Tasks::new();
        let on = ListenOn { addr: "127.0.0.1:0".parse().unwrap(), tls: TlsMode::PlainLoopback };
        let server = Server::bind(on, Limits::default()).await.unwrap();
        let address = server.local_addr();
        let shown = Shown::new();
        shown.show(Arc::new(plain));
        server.serve(register::routes(shown), &tasks);
        std::fs::write(folder.join("address"), address.to_string()).unwrap();
        println!("serving on {address}");
        std::future::pending::<()>().await;
    }
}
