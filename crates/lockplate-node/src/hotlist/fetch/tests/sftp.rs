//! Against a real server of SFTP in this process, which gives the files of a folder.

use std::collections::HashMap;
use std::os::unix::fs::FileExt as _;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, PublicKey};
use russh::server::{self, Auth, ChannelOpenHandle, Msg, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use russh_sftp::protocol::{Attrs, Data, FileAttributes, Handle, Name, OpenFlags, Status, StatusCode};

use super::*;
use crate::rng::SystemRng;

/// Whoever signs in, and whether it was known.
type SignIns = Arc<Mutex<Vec<(String, bool)>>>;

struct Host {
    root: PathBuf,
    known: PublicKey,
    channels: HashMap<ChannelId, Channel<Msg>>,
    sign_ins: SignIns,
}

impl server::Handler for Host {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let is_known = user == "alpr" && key.public_key.key_data() == self.known.key_data();
        self.sign_ins.lock().unwrap().push((user.to_owned(), is_known));
        Ok(if is_known { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let channel = self.channels.remove(&id).unwrap();
        session.channel_success(id)?;
        let files = Files { root: self.root.clone(), open: HashMap::new() };
        russh_sftp::server::run(channel.into_stream(), files).await;
        Ok(())
    }
}

enum Open {
    File(File),
    /// Told once.
    Folder(Vec<russh_sftp::protocol::File>),
}

struct Files {
    root: PathBuf,
    open: HashMap<String, Open>,
}

impl Files {
    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn keep(&mut self, id: u32, open: Open) -> Handle {
        let handle = id.to_string();
        self.open.insert(handle.clone(), open);
        Handle { id, handle }
    }
}

fn done(id: u32) -> Status {
    Status { id, status_code: StatusCode::Ok, error_message: String::new(), language_tag: String::new() }
}

impl russh_sftp::server::Handler for Files {
    type Error = StatusCode;

    fn unimplemented(&self) -> Self::Error {
        StatusCode::OpUnsupported
    }

    async fn open(
        &mut self,
        id: u32,
        filename: String,
        _flags: OpenFlags,
        _attrs: FileAttributes,
    ) -> Result<Handle, Self::Error> {
        let file = File::open(self.at(&filename)).map_err(|_absent| StatusCode::NoSuchFile)?;
        Ok(self.keep(id, Open::File(file)))
    }

    async fn close(&mut self, id: u32, handle: String) -> Result<Status, Self::Error> {
        self.open.remove(&handle);
        Ok(done(id))
    }

    async fn read(&mut self, id: u32, handle: String, offset: u64, len: u32) -> Result<Data, Self::Error> {
        let Some(Open::File(file)) = self.open.get(&handle) else { return Err(StatusCode::Failure) };
        let mut data = vec![0; usize::try_from(len).unwrap()];
        let bytes = file.read_at(&mut data, offset).unwrap();
        data.truncate(bytes);
        if bytes == 0 { Err(StatusCode::Eof) } else { Ok(Data { id, data }) }
    }

    async fn fstat(&mut self, id: u32, handle: String) -> Result<Attrs, Self::Error> {
        let Some(Open::File(file)) = self.open.get(&handle) else { return Err(StatusCode::Failure) };
        Ok(Attrs { id, attrs: (&file.metadata().unwrap()).into() })
    }

    async fn stat(&mut self, id: u32, path: String) -> Result<Attrs, Self::Error> {
        let metadata = std::fs::metadata(self.at(&path)).map_err(|_absent| StatusCode::NoSuchFile)?;
        Ok(Attrs { id, attrs: (&metadata).into() })
    }

    async fn opendir(&mut self, id: u32, path: String) -> Result<Handle, Self::Error> {
        let entries = std::fs::read_dir(self.at(&path)).unwrap().flatten();
        let entry = |entry: std::fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            russh_sftp::protocol::File::new(name, (&entry.metadata().unwrap()).into())
        };
        let entries = entries.map(entry).collect();
        Ok(self.keep(id, Open::Folder(entries)))
    }

    async fn readdir(&mut self, id: u32, handle: String) -> Result<Name, Self::Error> {
        let Some(Open::Folder(files)) = self.open.get_mut(&handle) else { return Err(StatusCode::Failure) };
        let files = core::mem::take(files);
        if files.is_empty() { Err(StatusCode::Eof) } else { Ok(Name { id, files }) }
    }
}

fn new_key() -> PrivateKey {
    PrivateKey::random(&mut SystemRng, Algorithm::Ed25519).unwrap()
}

/// Starts the server for the key in `folder/key`, which is made; the machine as it is to be configured.
async fn start(root: &Path, folder: &Path, tasks: &Tasks) -> (Machine, SignIns) {
    let (host, user, sign_ins) = (new_key(), new_key(), SignIns::default());
    let key_file = folder.join("key");
    let pem = user.to_openssh(LineEnding::LF).unwrap();
    crate::settings::create_secret_file(&key_file, pem.as_bytes()).unwrap();
    let host_key = host_key(&host.public_key().to_openssh().unwrap()).unwrap();
    let config = Arc::new(server::Config {
        keys: vec![host],
        auth_rejection_time: Duration::ZERO,
        auth_rejection_time_initial: Some(Duration::ZERO),
        ..server::Config::default()
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (root, signed, stopping) = (root.to_owned(), Arc::clone(&sign_ins), tasks.stopping().clone());
    tasks.spawn("a machine with SFTP", async move {
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let known = user.public_key().clone();
            let host = Host { root: root.clone(), known, channels: HashMap::new(), sign_ins: Arc::clone(&signed) };
            // Ends by itself with its connection.
            drop(server::run_stream(Arc::clone(&config), accepted.unwrap().0, host).await);
        }
    });
    let (host, user, path) = ("127.0.0.1".to_owned(), "alpr".to_owned(), "/out".to_owned());
    (Machine { host, port, user, path, host_key, key_file }, sign_ins)
}

fn there(machine: &Machine) -> Folder {
    Folder::new(Shelf::There(Box::new(machine.clone())))
}

#[tokio::test]
async fn the_newest_file_of_another_machine_is_taken_once() {
    let (root, folder, tasks, to) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Tasks::new(), Recorder::default());
    let out = root.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let (machine, sign_ins) = start(root.path(), folder.path(), &tasks).await;
    put(&out.join("a"), &file(2), NOW_MS - 9_000);
    put(&out.join("b"), &file(300), NOW_MS - 8_000);
    put(&out.join("c.part"), &file(1), NOW_MS);
    put(&root.path().join("outside"), &file(1), NOW_MS);
    symlink(root.path().join("outside"), out.join("link")).unwrap();
    let mut all = there(&machine);
    all.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!((to.told().entries, to.told().sequences), (Some(300), vec![NOW_MS - 8_000]));
    all.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!(to.told().sequences.len(), 1, "the same file once");
    // One file, by its name.
    put(&out.join("a"), &file(3), NOW_MS - 1_000);
    let mut one = there(&Machine { path: "/out/a".to_owned(), ..machine });
    one.look(&fetched(), NOW, &to).await.unwrap();
    assert_eq!((to.told().entries, to.told().refused), (Some(3), Vec::new()));
    assert!(sign_ins.lock().unwrap().iter().all(|(user, known)| user == "alpr" && *known));
    tasks.finish(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn another_machine_is_shown_nothing_and_what_stands_in_the_way_is_said() {
    let (root, folder, tasks, to) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Tasks::new(), Recorder::default());
    let (machine, sign_ins) = start(root.path(), folder.path(), &tasks).await;
    let said = async |machine: Machine| there(&machine).look(&fetched(), NOW, &to).await.unwrap_err().why;

    let other = host_key(&new_key().public_key().to_openssh().unwrap()).unwrap();
    let stranger = Machine { host_key: other, ..machine.clone() };
    assert_eq!(said(stranger).await, "the machine shows another key than the one of the configuration");
    assert_eq!(*sign_ins.lock().unwrap(), [], "the name and the key are not shown to it");

    assert_eq!(said(machine.clone()).await, "the path of its files cannot be read there");
    let unknown = Machine { user: "nobody".to_owned(), ..machine.clone() };
    assert_eq!(said(unknown).await, "the machine refuses the name or the key");
    let gone = Machine { port: 1, ..machine.clone() };
    assert_eq!(said(gone).await, "the machine cannot be reached");
    let unread = "the key file is no Ed25519 key of OpenSSH of mode 0600";
    assert_eq!(said(Machine { key_file: folder.path().join("none"), ..machine.clone() }).await, unread);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&machine.key_file, open).unwrap();
    assert_eq!(said(machine).await, unread);
    assert_eq!(to.told(), Told::default());
    tasks.finish(Duration::from_secs(5)).await.unwrap();
}

#[test]
fn a_machine_is_known_by_an_ed25519_key_alone() {
    let key = new_key().public_key().to_openssh().unwrap();
    assert!(host_key(&key).is_some() && host_key(&format!("{key} a comment\n")).is_some());
    let ecdsa = Algorithm::Ecdsa { curve: russh::keys::EcdsaCurve::NistP256 };
    let ecdsa = PrivateKey::random(&mut SystemRng, ecdsa).unwrap().public_key().to_openssh().unwrap();
    for no_key in ["", "ssh-ed25519", "AAAA", &key[..40], &ecdsa] {
        assert!(host_key(no_key).is_none(), "{no_key}");
    }
}
