//! The administrator's door to the controller: parse, one call, print. An error is one line on
//! standard error and an exit status that is not zero.

mod arguments;
mod connection;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use fleet_proto::admin;

use arguments::{Arguments, Command, Create, Delete, Get};

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Not an address of a socket.
    #[error("--controller `{address}` is not a socket address: write unix:///absolute/path")]
    Address { address: String },
    /// Nobody listens.
    #[error(
        "no controller answers at {address} ({source}): start tine-controller, or name its admin socket with --controller or TINE_CONTROLLER"
    )]
    Unreachable { address: String, source: std::io::Error },
    /// Somebody listens who is no controller.
    #[error("what answers at {address} is no controller ({source}): name its admin socket with --controller")]
    Transport { address: String, source: tonic::transport::Error },
    /// The backend file cannot be read.
    #[error("{} cannot be read ({source}): give a readable file", .file.display())]
    Unreadable { file: PathBuf, source: std::io::Error },
    /// The controller refuses.
    #[error("{0}")]
    Refused(String),
    /// Nothing of that name.
    #[error("{kind} {name} does not exist: see `tinectl get {kind}`")]
    NotFound { kind: &'static str, name: String },
    /// Standard output is gone.
    #[error("cannot print: {0}")]
    Print(#[from] std::io::Error),
}

impl From<tonic::Status> for Refusal {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(status.message().to_owned())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(refusal) => {
            let text = refusal.to_string();
            eprintln!("tinectl: {}", text.lines().collect::<Vec<_>>().join(" "));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Refusal> {
    // A file that cannot be read is found before anyone is asked.
    let content = match &arguments.command {
        Command::Create(Create::Backend { file, .. }) => {
            std::fs::read(file).map_err(|source| Refusal::Unreadable { file: file.clone(), source })?
        }
        _ => Vec::new(),
    };
    let mut controller = connection::connect(&arguments.controller).await?;
    match arguments.command {
        Command::Create(Create::Backend { file, output }) => {
            let request = admin::CreateBackendRequest { file_name: file.display().to_string(), content };
            let created = controller.create_backend(request).await?.into_inner();
            let backends: Vec<_> = created.backend.into_iter().collect();
            show::print(&backends, output.format)
        }
        Command::Get(Get::Backend(selection)) => {
            let answer = controller.list_backends(admin::ListBackendsRequest {}).await?.into_inner();
            show::print(&show::select(answer.backends, selection.name)?, selection.output.format)
        }
        Command::Get(Get::Volume(selection)) => {
            let answer = controller.list_volumes(admin::ListVolumesRequest {}).await?.into_inner();
            show::print(&show::select(answer.volumes, selection.name)?, selection.output.format)
        }
        Command::Get(Get::Node(selection)) => {
            let answer = controller.list_nodes(admin::ListNodesRequest {}).await?.into_inner();
            show::print(&show::select(answer.nodes, selection.name)?, selection.output.format)
        }
        Command::Delete(Delete::Backend { name }) => {
            controller.delete_backend(admin::DeleteBackendRequest { name }).await?;
            Ok(())
        }
        Command::Delete(Delete::Node { name }) => {
            controller.delete_node(admin::DeleteNodeRequest { node_id: name }).await?;
            Ok(())
        }
        Command::Version => {
            let answer = controller.version(admin::VersionRequest {}).await?.into_inner();
            show::lines(&[
                format!("tinectl {}", env!("CARGO_PKG_VERSION")),
                format!("tine-controller {} ({})", answer.version, answer.driver_name),
            ])
        }
    }
}
