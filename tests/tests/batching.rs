//! Many clients ask for evidence at once: few reports are made, and each client's own channel is bound by one of them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use acceptance::{World, channel, tls};
use attestation::{AppraisalPolicy, ChannelView, Clock, Nonce, Transcript, TrustRoots};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const CLIENTS: usize = 200;

/// The shortest time between two reports (`ATTESTATION_BATCH_INTERVAL`).
const INTERVAL: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_share_few_reports_and_none_shares_its_channel() {
    let world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    let started = Instant::now();
    let asked: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(channel::ask(world.guardian_port()))).collect();
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(asked.await.unwrap().unwrap());
    }
    let reports_possible = started.elapsed().as_millis() / INTERVAL.as_millis() + 1;

    let roots = TrustRoots::named(&std::fs::read(world.root_file()).unwrap()).unwrap();
    let policy = AppraisalPolicy::from_toml(&std::fs::read_to_string(world.policy_file()).unwrap()).unwrap();
    let now = acceptance::clock::WallClock.now();
    let mut reports = BTreeSet::new();
    for (index, (view, document)) in answers.iter().enumerate() {
        reports.insert(document.evidence.report.0.clone());
        let appraisal = attestation::appraise(document, &roots, &policy, now, &mut Transcript::default()).unwrap();
        appraisal.clone().bind_channel(view, &mut Transcript::default()).unwrap();
        // Another client of the same batch, who shares the report, has neither this nonce nor this channel.
        let (other, _) = &answers[(index + 1) % answers.len()];
        let stolen = ChannelView { exporter: other.exporter, ..*view };
        let refused = appraisal.clone().bind_channel(&stolen, &mut Transcript::default()).map(drop).unwrap_err();
        assert_eq!(refused.code(), "channel.report_data_mismatch");
        let refused = appraisal.bind_channel(other, &mut Transcript::default()).map(drop).unwrap_err();
        assert_eq!(refused.code(), "channel.nonce_mismatch");
    }
    assert!(u128::try_from(reports.len()).unwrap() <= reports_possible, "{} of {reports_possible}", reports.len());
    assert!(reports.len() < CLIENTS / 4, "{} reports for {CLIENTS} clients", reports.len());
    let largest = answers.iter().map(|(_, document)| document.batch.tree_size).max().unwrap();
    assert!(largest > 4, "a batch of {largest}");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_gets_a_limited_number_of_reports() {
    let world = tokio::task::spawn_blocking(|| World::builder().start().unwrap()).await.unwrap();
    let stream = TcpStream::connect(("127.0.0.1", world.guardian_port())).await.unwrap();
    let name = rustls::pki_types::ServerName::try_from("cloister.invalid").unwrap();
    let tls = TlsConnector::from(tls::client_config(b"http/1.1").unwrap()).connect(name, stream).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for _ in 0..18 {
        let request = http::Request::get(format!("/v1/attestation?nonce={}", Nonce::random().unwrap()));
        let request = request.header("host", "cloister.invalid").body(Empty::<Bytes>::new()).unwrap();
        sender.ready().await.unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let retry = answer.headers().contains_key("retry-after");
        answers.push((answer.status().as_u16(), retry));
        answer.into_body().collect().await.unwrap();
    }
    let (served, refused) = answers.split_at(16);
    assert!(served.iter().all(|answer| *answer == (200, false)), "{answers:?}");
    assert!(refused.iter().all(|answer| *answer == (429, true)), "{answers:?}");
    drop(tokio::task::spawn_blocking(move || drop(world)).await);
}
