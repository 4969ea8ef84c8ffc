//! The flags both simulators take, for `#[command(flatten)]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::{Password, User};

/// Where the management API and the control endpoint listen, and who may log in.
#[derive(Debug, Clone, Args)]
pub struct FrontArguments {
    /// Where the management API listens (HTTPS); port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub management: SocketAddr,
    /// Name of the administrator
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub user: String,
    /// The administrator's password
    #[arg(long, value_name = "TEXT", env = "SIM_PASSWORD", hide_env_values = true)]
    pub password: Option<Password>,
    /// File whose first line is the administrator's password
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pub password_file: Option<PathBuf>,
    /// Where to write the certificate that clients must trust (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca_out: Option<PathBuf>,
    /// Where the control endpoint listens (plain HTTP: events, state, faults); keep it on loopback
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub control: SocketAddr,
    /// Makes every generated identifier repeatable
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
}

/// A flag whose value cannot be used: what, where, and the cure.
#[derive(Debug, thiserror::Error)]
pub enum ArgumentError {
    /// The password file cannot be read.
    #[error("--password-file {path}: cannot be read; give a readable file whose first line is the password")]
    PasswordFile {
        /// The file that was asked for.
        path: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// The password file's first line is empty.
    #[error("--password-file {path}: its first line is empty; write the password there")]
    EmptyPassword {
        /// The file that was asked for.
        path: String,
    },
}

impl FrontArguments {
    /// The administrator: password from `--password`, `SIM_PASSWORD`, `--password-file`, else
    /// `default_password`.
    ///
    /// # Errors
    /// [`ArgumentError`] when `--password-file` cannot be used.
    pub fn administrator(&self, default_password: &str) -> Result<User, ArgumentError> {
        let password = match (&self.password_file, &self.password) {
            (Some(path), _) => {
                let shown = path.display().to_string();
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ArgumentError::PasswordFile { path: shown.clone(), source })?;
                match text.lines().next() {
                    Some(line) if !line.is_empty() => Password::new(line),
                    _ => return Err(ArgumentError::EmptyPassword { path: shown }),
                }
            }
            (None, Some(password)) => password.clone(),
            (None, None) => Password::new(default_password),
        };
        Ok(User { name: self.user.clone(), password })
    }
}
