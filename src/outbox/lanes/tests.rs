//! One lane, with paused time and a gateway that records.

use super::*;
use crate::{
    domain::Kind,
    gateway::recording::RecordingGateway,
    outbox::{Outbox, Receipt},
};

const SETTINGS: OutboxSettings = OutboxSettings { window: Duration::from_millis(100), lanes: 1, capacity: 8 };

fn peer(n: u8) -> PeerId {
    PeerId::from_bytes([n; 16])
}

struct Setup {
    gateway: Arc<RecordingGateway>,
    outbox: Outbox,
    stop: CancellationToken,
    lane: tokio::task::JoinHandle<()>,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
}

fn start(gateway: RecordingGateway) -> Setup {
    start_with(gateway, SETTINGS)
}

fn start_with(gateway: RecordingGateway, settings: OutboxSettings) -> Setup {
    let gateway = Arc::new(gateway);
    let recorder = crate::telemetry::recorder();
    let (outbox, mut lanes) =
        metrics::with_local_recorder(&recorder, || Outbox::new(settings, &(gateway.clone() as Arc<dyn Gateway>)));
    let stop = CancellationToken::new();
    let lane = tokio::spawn(lanes.remove(0).run(stop.clone()));
    Setup { gateway, outbox, stop, lane, metrics: recorder.handle() }
}

async fn verdicts(receipts: impl IntoIterator<Item = Receipt>) -> Vec<Result<(), NotPublished>> {
    futures_util::future::join_all(receipts.into_iter().map(Receipt::settled)).await
}

fn signals(gateway: &RecordingGateway) -> Vec<Vec<String>> {
    gateway.batches().into_iter().map(|batch| batch.into_iter().flat_map(|d| d.signals).collect()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_offer_goes_out_at_once_and_candidates_after_the_window() {
    let s = start(RecordingGateway::default());
    let begun = now();
    s.outbox.send(peer(1), Kind::Candidates, "c".into()).unwrap().settled().await.unwrap();
    s.outbox.send(peer(2), Kind::Offer, "o".into()).unwrap().settled().await.unwrap();
    assert_eq!((now() - begun, signals(&s.gateway)), (Duration::ZERO, vec![vec!["o".to_owned()]]));
    tokio::time::sleep(Duration::from_millis(101)).await;
    assert_eq!(signals(&s.gateway)[1..], [["c"]]);
}

#[tokio::test(start_paused = true)]
async fn a_signal_accepted_before_the_stop_is_delivered() {
    let s = start(RecordingGateway::default());
    s.outbox.send(peer(1), Kind::Candidates, "c".into()).unwrap();
    let offer = s.outbox.send(peer(2), Kind::Offer, "o".into()).unwrap();
    s.stop.cancel();
    s.lane.await.unwrap();
    assert_eq!(signals(&s.gateway).concat().len(), 2);
    assert_eq!(offer.settled().await, Ok(()));
    assert_eq!(s.outbox.send(peer(1), Kind::Bye, "b".into()).err(), Some(NotPublished::Stopping));
}

#[tokio::test(start_paused = true)]
async fn while_one_batch_is_under_way_the_next_gathers() {
    let s = start(RecordingGateway::closed());
    let mut receipts = vec![s.outbox.send(peer(0), Kind::Offer, "0".into()).unwrap()];
    tokio::task::yield_now().await;
    for n in 1..5 {
        receipts.push(s.outbox.send(peer(n), Kind::Offer, n.to_string()).unwrap());
    }
    s.gateway.let_through(2);
    for receipt in receipts {
        receipt.settled().await.unwrap();
    }
    assert_eq!(signals(&s.gateway).iter().map(Vec::len).collect::<Vec<_>>(), [1, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_full_lane_refuses_and_recovers() {
    let s = start(RecordingGateway::closed());
    let first = s.outbox.send(peer(0), Kind::Offer, "0".into()).unwrap();
    tokio::task::yield_now().await;
    let mut receipts: Vec<_> = (0..8).map(|n| s.outbox.send(peer(n), Kind::Offer, "x".into()).unwrap()).collect();
    assert_eq!(s.outbox.send(peer(9), Kind::Offer, "x".into()).err(), Some(NotPublished::Full));
    s.gateway.let_through(9);
    receipts.push(first);
    for receipt in receipts {
        receipt.settled().await.unwrap();
    }
    s.outbox.send(peer(9), Kind::Offer, "x".into()).unwrap().settled().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn candidates_do_not_gather_without_end() {
    let s = start(RecordingGateway::closed());
    let mut accepted = 0;
    while s.outbox.send(peer(1), Kind::Candidates, "c".into()).is_ok() {
        accepted += 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(accepted, 16, "a batch of 8, and a queue of 8");
}

#[tokio::test(start_paused = true)]
async fn what_waited_too_long_is_refused_and_not_published_after_all() {
    let s = start_with(RecordingGateway::closed(), OutboxSettings { capacity: 200, ..SETTINGS });
    // More than three batches hold, and a batch takes as long as a flush may.
    let large = "x".repeat(64 * 1024);
    let receipts = (0..100).map(|n| s.outbox.send(peer(n), Kind::Offer, large.clone()).unwrap());
    let receipts: Vec<_> = receipts.collect();
    s.outbox.send(peer(99), Kind::Candidates, "c".into()).unwrap();
    let verdicts = verdicts(receipts).await;
    assert_eq!(verdicts[..64], [Err(NotPublished::Gateway); 64]);
    assert_eq!(verdicts[96..], [Err(NotPublished::Late); 4]);
    tokio::time::sleep(FLUSH).await;
    s.gateway.let_through(2);
    s.outbox.send(peer(100), Kind::Offer, "new".into()).unwrap().settled().await.unwrap();
    assert_eq!(signals(&s.gateway), [["c"], ["new"]], "candidates were accepted for good");
    assert!(s.metrics.render().contains("starling_outbox_signals_refused_total{reason=\"late\"} 4\n"));
}

#[tokio::test(start_paused = true)]
async fn each_delivery_has_its_own_verdict() {
    let s = start(RecordingGateway::closed());
    s.gateway.refuse(peer(1), 107, 1);
    let receipts = [0, 1, 2].map(|n| s.outbox.send(peer(n), Kind::Offer, "o".into()).unwrap());
    s.gateway.let_through(3);
    assert_eq!(verdicts(receipts).await, [Ok(()), Err(NotPublished::Gateway), Ok(())]);
    assert_eq!(s.gateway.batches().len(), 1, "a refusal for good is not tried again");
}

#[tokio::test(start_paused = true)]
async fn a_broken_call_is_tried_again_before_anything_newer_goes_out() {
    let s = start(RecordingGateway::default());
    s.gateway.fail(3);
    let first = s.outbox.send(peer(1), Kind::Offer, "1".into()).unwrap();
    tokio::task::yield_now().await;
    let second = s.outbox.send(peer(1), Kind::Bye, "2".into()).unwrap();
    assert_eq!(verdicts([first, second]).await, [Ok(()), Ok(())]);
    assert_eq!(signals(&s.gateway), [["1"], ["2"]]);
    assert!(s.metrics.render().contains("starling_outbox_deliveries_retried_total 3\n"));
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_is_tried_again() {
    let s = start(RecordingGateway::closed());
    s.gateway.refuse(peer(1), 100, 2);
    let receipts = [0, 1, 2].map(|n| s.outbox.send(peer(n), Kind::Offer, n.to_string()).unwrap());
    s.gateway.let_through(3);
    assert_eq!(verdicts(receipts).await, [Ok(()), Ok(()), Ok(())]);
    assert_eq!(signals(&s.gateway), [vec!["0".to_owned(), "2".to_owned()], vec![], vec!["1".to_owned()]]);
}

#[tokio::test(start_paused = true)]
async fn a_flush_has_an_end() {
    let s = start(RecordingGateway::default());
    s.gateway.refuse(peer(1), 100, usize::MAX);
    for hangs in [false, true] {
        if hangs {
            s.gateway.hang();
        }
        let begun = now();
        let receipt = s.outbox.send(peer(1), Kind::Answer, "a".into()).unwrap();
        assert_eq!(receipt.settled().await, Err(NotPublished::Gateway));
        assert_eq!(s.gateway.batches().len(), 1 + MOST_REFUSALS as usize, "a call that hung is not made again");
        assert!(now() - begun <= FLUSH, "{:?}", now() - begun);
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateway_known_to_be_down_is_not_waited_for() {
    let s = start(RecordingGateway::default());
    let begun = now();
    let candidates = s.outbox.send(peer(1), Kind::Candidates, "c".into()).unwrap();
    let offer = s.outbox.send(peer(2), Kind::Offer, "o".into()).unwrap();
    s.gateway.go_down();
    assert_eq!(s.outbox.send(peer(1), Kind::Candidates, "c".into()).err(), Some(NotPublished::Gateway));
    assert_eq!(verdicts([candidates, offer]).await, [Ok(()), Err(NotPublished::Gateway)]);
    assert_eq!(now() - begun, Duration::ZERO);
    tokio::time::sleep(SETTINGS.window).await;
    s.stop.cancel();
    s.lane.await.unwrap();
    let metrics = s.metrics.render();
    for line in [
        "starling_outbox_candidates_lost_total 1\n",
        "starling_outbox_signals_refused_total{reason=\"gateway\"} 3\n",
        "starling_outbox_signals_waiting 0\n",
        "starling_outbox_deliveries_retried_total 0\n",
    ] {
        assert!(metrics.contains(line), "{line} not in:\n{metrics}");
    }
}
