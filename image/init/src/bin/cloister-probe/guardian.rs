//! In the guardian's place: one program with a network, on measured ports only.

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use rustix::net::{AddressFamily, SendFlags, SocketType, sendto, socket};

use crate::calls::{self, NETWORK_SOCKETS};
use crate::confined;
use crate::files::{REPORT_ENTRY, errno};
use crate::report::Report;

pub(crate) fn run(listen: &[u16], connect: &[u16]) -> Report {
    let mut report = Report::new("guardian");
    let devices = ["null", "zero", "full", "random", "urandom", "vsock"];
    confined::check(&mut report, 1000, &devices);
    egress(&mut report, listen, connect);
    files(&mut report);
    report_entry(&mut report);
    report.not_here("08-logs", "what is logged is decided in the guardian; its tests read the log");
    report
}

fn egress(report: &mut Report, listen: &[u16], connect: &[u16]) {
    calls::refused(report, "07-has", &NETWORK_SOCKETS, &[0, libc::EAFNOSUPPORT]);
    let unlisted = |ports: &[u16]| (9..).find(|port| !ports.contains(port)).unwrap_or(9);
    let other = unlisted(connect);
    let error = errno(TcpStream::connect((Ipv4Addr::LOCALHOST, other)));
    report.check("07-connect-other", error == libc::EACCES, format_args!("port {other}: {}", calls::named(error)));
    for port in connect {
        let error = errno(TcpStream::connect((Ipv4Addr::LOCALHOST, *port)));
        let allowed = [0, libc::ECONNREFUSED].contains(&error);
        report.check("07-connect-measured", allowed, format_args!("port {port}: {}", calls::named(error)));
    }
    let other = unlisted(listen).saturating_add(9000);
    let error = errno(TcpListener::bind((Ipv4Addr::UNSPECIFIED, other)));
    report.check("07-bind-other", error == libc::EACCES, format_args!("port {other}: {}", calls::named(error)));
    for port in listen {
        let error = errno(TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)));
        report.check("07-bind-measured", error == 0, format_args!("port {port}: {}", calls::named(error)));
    }
    let fast_open = SendFlags::from_bits_retain(libc::MSG_FASTOPEN.unsigned_abs());
    let target = SocketAddrV4::new(Ipv4Addr::LOCALHOST, unlisted(connect));
    let outcome = socket(AddressFamily::INET, SocketType::STREAM, None)
        .and_then(|socket| sendto(&socket, b"x", fast_open, &target))
        .map_err(std::io::Error::from);
    let error = errno(outcome);
    let refused = [libc::EACCES, libc::EOPNOTSUPP].contains(&error);
    report.check("07-connect-fast-open", refused, calls::named(error));
}

fn files(report: &mut Report) {
    let own = fs::read("/run/cloister/guardian.toml");
    report.check("06-own-configuration", own.is_ok(), format_args!("{} bytes", own.map_or(0, |bytes| bytes.len())));
    let error = errno(fs::OpenOptions::new().write(true).open("/run/cloister/guardian.toml"));
    report.check("06-configuration-fixed", [libc::EACCES, libc::EROFS].contains(&error), calls::named(error));
    let error = errno(fs::read("/run/cloister/image.json"));
    report.check("06-other-configuration", error == libc::EACCES, calls::named(error));
    let error = errno(fs::write("/run/engine/probe", b"x"));
    report.check("06-engine-directory", error == libc::EACCES, calls::named(error));
    let error = errno(Command::new("/usr/sbin/cloister-init").spawn());
    report.check("06-exec-other", error == libc::EACCES, calls::named(error));
    let dead = rustix::process::test_kill_process(rustix::process::Pid::INIT).map_err(std::io::Error::from);
    let kind = dead.map_err(|error| error.kind());
    report.check("06-signal-init", kind == Err(ErrorKind::PermissionDenied), format_args!("{kind:?}"));
}

/// The guardian can ask the platform for reports, and make no entry of its own.
fn report_entry(report: &mut Report) {
    if !Path::new(REPORT_ENTRY).exists() {
        report.not_here("14-report-entry", "no TEE here, and so no entry that gives reports");
        return;
    }
    let error = errno(fs::OpenOptions::new().write(true).open("/run/tsm/inblob"));
    report.check("14-report-entry", error == 0, calls::named(error));
    let error = errno(fs::create_dir("/run/tsm/probe"));
    report.check("14-report-entry-only", [libc::EACCES, libc::EPERM].contains(&error), calls::named(error));
}
