//! Who may log in: accounts of the cluster and of SVMs, with their passwords, applications and
//! roles; and the certificates that are installed.
//!
//! An account of an SVM sees that SVM alone. What a role may do is said in [`super::role`].

use std::fmt;

use jiff::Timestamp;
use records::{Row, untagged};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Cluster, Refusal, SvmId};

/// Applications that ONTAP knows (REST reference, `account_application`).
pub const APPLICATIONS: [&str; 9] =
    ["amqp", "console", "http", "ontapi", "rsh", "service_processor", "snmp", "ssh", "telnet"];
/// Ways to prove oneself.
pub const METHODS: [&str; 7] =
    ["password", "certificate", "publickey", "domain", "nsswitch", "usm", "community"];
/// What lets in to the management API: REST and ZAPI are reached by either.
const HTTP: &[&str] = &["http", "ontapi"];
/// What lets in to the shell.
const SHELL: &[&str] = &["ssh"];
/// Rounds over which a password is hashed: enough that a stolen data directory is no list of passwords,
/// little enough that each of many requests can be checked.
const ROUNDS: u32 = 64;

/// Whose account: of the cluster (`None`) or of an SVM; and its name.
pub type AccountKey = (Option<SvmId>, String);

/// A password as it is kept.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct PasswordHash {
    salt: Uuid,
    hash: [u8; 32],
}

impl PasswordHash {
    fn new(salt: Uuid, password: &str) -> Self {
        Self { salt, hash: digest(salt, password) }
    }

    fn fits(&self, password: &str) -> bool {
        let given = digest(self.salt, password);
        // Without a branch on where they differ.
        given.iter().zip(&self.hash).fold(0, |differ, (given, kept)| differ | (given ^ kept)) == 0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(redacted)")
    }
}

fn digest(salt: Uuid, password: &str) -> [u8; 32] {
    let mut hash: [u8; 32] =
        Sha256::new().chain_update(salt.as_bytes()).chain_update(password).finalize().into();
    for _ in 0..ROUNDS {
        hash = Sha256::new().chain_update(salt.as_bytes()).chain_update(hash).finalize().into();
    }
    hash
}

/// A program through which an account logs in, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// `http`, `ssh`, …
    pub name: String,
    /// `password`, `certificate`, …
    pub methods: Vec<String>,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The SVM it belongs to; `None`: the cluster.
    pub owner: Option<SvmId>,
    /// Its name, unique with its owner.
    pub name: String,
    /// Name of its role.
    pub role: String,
    /// Where it may log in.
    pub applications: Vec<Application>,
    /// Its password, if it was given one.
    pub password: Option<PasswordHash>,
    /// Whether it is locked out.
    pub locked: bool,
    /// Free text.
    pub comment: String,
}

/// What an account is found under: its name, whoever its owner is.
impl Row for Account {
    type Tag = String;

    fn tags(&self) -> Vec<String> {
        vec![self.name.clone()]
    }
}

/// A new account, or a change of one. What is absent gets the default, or stays.
#[derive(Debug, Clone, Default)]
pub struct AccountPatch {
    /// Role (default: `admin` of the cluster, `vsadmin` of an SVM).
    pub role: Option<String>,
    /// Applications (default: `http`, `ontapi` and `ssh` with a password).
    pub applications: Option<Vec<Application>>,
    /// Password.
    pub password: Option<String>,
    /// Locked or not.
    pub locked: Option<bool>,
    /// Free text.
    pub comment: Option<String>,
}

/// Who asks: decided at the door, before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The SVM that is all they see; `None`: everything.
    pub svm: Option<SvmId>,
    /// Their name.
    pub name: String,
    /// Their role.
    pub role: String,
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertificateKind {
    /// Proves this array to clients.
    Server,
    /// Proves this array to servers.
    Client,
    /// An authority of this array.
    RootCa,
    /// An authority whose client certificates are trusted.
    ClientCa,
    /// An authority whose server certificates are trusted.
    ServerCa,
}

impl CertificateKind {
    /// Each with its name in the API.
    pub const NAMES: [(Self, &'static str); 5] = [
        (Self::Server, "server"),
        (Self::Client, "client"),
        (Self::RootCa, "root_ca"),
        (Self::ClientCa, "client_ca"),
        (Self::ServerCa, "server_ca"),
    ];
}

/// An installed certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its identifier.
    pub id: Uuid,
    /// The SVM it belongs to; `None`: the cluster.
    pub svm: Option<SvmId>,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: CertificateKind,
    /// Common name of its subject.
    pub common_name: String,
    /// Serial number in hexadecimal.
    pub serial: String,
    /// Its authority's common name.
    pub authority: String,
    /// When it ends.
    pub expires: Timestamp,
    /// The certificate, PEM.
    pub pem: String,
}

untagged!(Certificate);

impl Cluster {
    /// Makes an account.
    ///
    /// # Errors
    /// A [`Refusal`]: a bad name, one in use with this owner (1), an unknown role, application or method, a
    /// password that ONTAP would not take (7077925).
    pub fn create_account(
        &mut self,
        owner: Option<SvmId>,
        name: &str,
        patch: AccountPatch,
    ) -> Result<(), Refusal> {
        let shaped = !name.is_empty()
            && name.len() <= 64
            && !name.starts_with('-')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.@\\$".contains(c));
        if !shaped {
            return Err(Refusal::invalid("name", name));
        }
        let key = (owner, name.to_owned());
        if self.accounts.contains_key(&key) {
            return Err(Refusal::conflict(1, format!("Account \"{name}\" already exists")).about("name"));
        }
        let usual = |name: &str| Application { name: name.to_owned(), methods: vec!["password".to_owned()] };
        let blank = Account {
            owner,
            name: name.to_owned(),
            role: if owner.is_some() { "vsadmin".into() } else { "admin".into() },
            applications: ["http", "ontapi", "ssh"].map(usual).to_vec(),
            password: None,
            locked: false,
            comment: String::new(),
        };
        let account = self.revised_account(blank, patch)?;
        self.accounts.insert(key, account);
        Ok(())
    }

    /// Changes an account.
    ///
    /// # Errors
    /// A [`Refusal`] as for [`Self::create_account`]; an account without a password is not unlocked.
    pub fn modify_account(
        &mut self,
        owner: Option<SvmId>,
        name: &str,
        patch: AccountPatch,
    ) -> Result<(), Refusal> {
        let key = (owner, name.to_owned());
        let before = self.accounts.get(&key).ok_or_else(Refusal::no_entry)?.clone();
        let after = self.revised_account(before, patch)?;
        if after.locked {
            self.admit_one_less(&key)?;
        }
        self.accounts.insert(key, after);
        Ok(())
    }

    /// Deletes an account.
    ///
    /// # Errors
    /// A [`Refusal`]: not there (code 4), or the last that may administer the cluster (8).
    pub fn delete_account(&mut self, owner: Option<SvmId>, name: &str) -> Result<(), Refusal> {
        let key = (owner, name.to_owned());
        self.accounts.get(&key).ok_or_else(Refusal::no_entry)?;
        self.admit_one_less(&key)?;
        self.accounts.remove(&key);
        Ok(())
    }

    /// The account of the cluster with this name.
    pub fn find_administrator(&self, name: &str) -> Option<&Account> {
        self.accounts.get(&(None, name.to_owned()))
    }

    /// Makes an administrator of the cluster whose password is not judged, or gives one that is there this
    /// password: whoever starts the array decides.
    pub fn seat_administrator(&mut self, name: &str, password: &str) {
        let hash = PasswordHash::new(self.mint.edit().uuid(), password);
        let usual = |name: &str| Application {
            name: name.to_owned(),
            methods: vec!["password".to_owned(), "certificate".to_owned()],
        };
        let key = (None, name.to_owned());
        let mut account = self.accounts.get(&key).cloned().unwrap_or_else(|| Account {
            owner: None,
            name: name.to_owned(),
            role: "admin".into(),
            applications: ["http", "ontapi", "ssh"].map(usual).to_vec(),
            password: None,
            locked: false,
            comment: String::new(),
        });
        account.password = Some(hash);
        self.accounts.insert(key, account);
    }

    /// Who logs in over HTTP with this password. At the door of an SVM only its own accounts are known; at
    /// the cluster's door its accounts come first, then those of SVMs. (A real array admits accounts of an
    /// SVM at the SVM's door alone.)
    pub fn log_in(&self, door: Option<SvmId>, name: &str, password: &str) -> Option<Caller> {
        self.known_by_password(HTTP, door, name, password)
    }

    /// Who logs in to the shell, over SSH, with this password; as for [`Self::log_in`].
    pub fn log_in_to_shell(&self, name: &str, password: &str) -> Option<Caller> {
        self.known_by_password(SHELL, None, name, password)
    }

    /// The administrator of the cluster with this name, if they may use the shell: they have shown something else
    /// than a password.
    pub fn let_into_shell(&self, name: &str) -> Option<Caller> {
        let may = |account: &&Account| !account.locked && uses(account, SHELL).next().is_some();
        self.find_administrator(name).filter(may).map(caller)
    }

    fn known_by_password(
        &self,
        applications: &[&str],
        door: Option<SvmId>,
        name: &str,
        password: &str,
    ) -> Option<Caller> {
        let name = name.to_owned();
        // Ascending by owner: the cluster's comes first.
        let mut known = self.accounts.tagged(&name).filter(|account| door.is_none() || account.owner == door);
        let fits = |account: &&Account| {
            let may = allows(account, applications, "password");
            account.password.as_ref().is_some_and(|kept| kept.fits(password)) && may
        };
        known.find(fits).map(caller)
    }

    /// Who logs in over HTTP with a certificate of this common name, which was verified.
    pub fn log_in_certified(&self, door: Option<SvmId>, common_name: &str) -> Option<Caller> {
        let name = common_name.to_owned();
        let mut known = self.accounts.tagged(&name).filter(|account| door.is_none() || account.owner == door);
        known.find(|account| allows(account, HTTP, "certificate")).map(caller)
    }

    /// Authorities whose client certificates are trusted, PEM.
    pub fn client_authorities(&self) -> Vec<String> {
        let trusted = |certificate: &&Certificate| certificate.kind == CertificateKind::ClientCa;
        self.certificates.values().filter(trusted).map(|certificate| certificate.pem.clone()).collect()
    }

    /// Installs a certificate, whose facts the caller has read.
    ///
    /// # Errors
    /// A [`Refusal`] when it is installed already (1).
    pub fn install_certificate(&mut self, mut certificate: Certificate) -> Result<Uuid, Refusal> {
        let twin = self.certificates.values().any(|other| {
            other.svm == certificate.svm && other.kind == certificate.kind && other.pem == certificate.pem
        });
        if twin {
            let message = format!("Certificate \"{}\" is installed already", certificate.common_name);
            return Err(Refusal::conflict(1, message).about("public_certificate"));
        }
        certificate.id = self.mint.edit().uuid();
        let id = certificate.id;
        self.certificates.insert(id, certificate);
        Ok(id)
    }

    /// Installs the certificate that the management API shows, in place of the one before.
    pub fn put_server_certificate(&mut self, certificate: Certificate) {
        let replaced = |other: &&Certificate| {
            other.kind == CertificateKind::Server && other.svm.is_none() && other.name == certificate.name
        };
        let before: Vec<_> = self.certificates.values().filter(replaced).map(|other| other.id).collect();
        let id = before.first().copied().unwrap_or_else(|| self.mint.edit().uuid());
        self.certificates.insert(id, Certificate { id, ..certificate });
    }

    /// Deletes a certificate.
    ///
    /// # Errors
    /// A [`Refusal`] (code 4) when it is not there.
    pub fn delete_certificate(&mut self, id: Uuid) -> Result<(), Refusal> {
        self.certificates.remove(&id).map(drop).ok_or_else(Refusal::no_entry)
    }

    /// The account that every data SVM is made with; it is locked and has no password.
    pub(super) fn create_svm_administrator(&mut self, svm: SvmId) -> Result<(), Refusal> {
        let patch = AccountPatch { locked: Some(true), ..AccountPatch::default() };
        self.create_account(Some(svm), "vsadmin", patch)
    }

    pub(super) fn forget_security_of(&mut self, svm: SvmId) {
        let names: Vec<_> = self.accounts.keys().filter(|(owner, _)| *owner == Some(svm)).cloned().collect();
        names.iter().for_each(|key| drop(self.accounts.remove(key)));
        let of_svm = |certificate: &&Certificate| certificate.svm == Some(svm);
        let ids: Vec<_> =
            self.certificates.values().filter(of_svm).map(|certificate| certificate.id).collect();
        ids.iter().for_each(|id| drop(self.certificates.remove(id)));
        self.forget_roles_of(svm);
    }

    fn revised_account(&mut self, mut account: Account, patch: AccountPatch) -> Result<Account, Refusal> {
        if let Some(role) = patch.role {
            if self.find_role(account.owner, &role).is_none() {
                return Err(Refusal::missing(4, format!("Role \"{role}\" does not exist")).about("role.name"));
            }
            account.role = role;
        }
        if let Some(applications) = patch.applications {
            applications.iter().try_for_each(admit_application)?;
            if applications.is_empty() {
                return Err(Refusal::required("applications"));
            }
            account.applications = applications;
        }
        if let Some(password) = patch.password {
            admit_password(&account.name, &password)?;
            if account.password.as_ref().is_some_and(|kept| kept.fits(&password)) {
                // Clients look for the beginning of this message.
                let message = "New password must be different than the old password.";
                return Err(Refusal::request(7_077_918, message).about("password"));
            }
            account.password = Some(PasswordHash::new(self.mint.edit().uuid(), &password));
        }
        if let Some(locked) = patch.locked {
            if !locked && account.password.is_none() {
                // As the array says when an account is unlocked that never had a password.
                let message = "The account has no password: set one before unlocking it";
                return Err(Refusal::request(2, message).about("locked"));
            }
            account.locked = locked;
        }
        account.comment = patch.comment.unwrap_or(account.comment);
        Ok(account)
    }

    fn admit_one_less(&self, key: &AccountKey) -> Result<(), Refusal> {
        let administers =
            |account: &Account| account.owner.is_none() && account.role == "admin" && !account.locked;
        let last = self.accounts.get(key).is_some_and(administers)
            && self.accounts.values().filter(|account| administers(account)).count() == 1;
        if last {
            let message = "The last account that administers the cluster cannot be locked or deleted";
            return Err(Refusal::conflict(8, message));
        }
        Ok(())
    }
}

fn caller(account: &Account) -> Caller {
    Caller { svm: account.owner, name: account.name.clone(), role: account.role.clone() }
}

/// What of an account is for one of these applications.
fn uses<'a>(account: &'a Account, applications: &'a [&str]) -> impl Iterator<Item = &'a Application> {
    account.applications.iter().filter(|application| applications.contains(&application.name.as_str()))
}

/// Whether the account may log in to one of these applications by this method.
fn allows(account: &Account, applications: &[&str], method: &str) -> bool {
    let by_method = |application: &Application| application.methods.iter().any(|known| known == method);
    !account.locked && uses(account, applications).any(by_method)
}

fn admit_application(application: &Application) -> Result<(), Refusal> {
    if !APPLICATIONS.contains(&application.name.as_str()) {
        return Err(Refusal::invalid("applications.application", &application.name));
    }
    match application.methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        Some(unknown) => Err(Refusal::invalid("applications.authentication_methods", unknown)),
        None if application.methods.is_empty() => {
            Err(Refusal::required("applications.authentication_methods"))
        }
        None => Ok(()),
    }
}

/// The default rules: eight characters, a letter and a digit, not the name.
fn admit_password(name: &str, password: &str) -> Result<(), Refusal> {
    let strong = password.chars().count() >= 8
        && password.chars().any(char::is_alphabetic)
        && password.chars().any(|c| c.is_ascii_digit())
        && !password.eq_ignore_ascii_case(name);
    if strong {
        return Ok(());
    }
    let message =
        "New password must be at least 8 characters long and have at least one letter and one digit";
    Err(Refusal::request(7_077_925, message).about("password"))
}
