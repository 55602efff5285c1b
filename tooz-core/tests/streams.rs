//! The streams of the API: `Stream` by name, `Unpin`, and the end of each.

use futures_util::{Stream, StreamExt};
use tooz_core::{
    AssignmentEvent, Assignments, Coordinator, Error, ErrorKind, GroupEvent, GroupWatch, Leader, Message, Name, Names,
    Observation, Queue, QueueWatch, Result, SessionState, SessionStates, StartAt, Subscription,
};

fn is_stream<S: Stream<Item = T> + Unpin + Send + 'static, T>() {}

#[test]
fn every_source_of_events_is_a_stream_by_name() {
    is_stream::<GroupWatch, Result<GroupEvent>>();
    is_stream::<Observation, Result<Option<Leader>>>();
    is_stream::<QueueWatch, Result<Queue>>();
    is_stream::<Subscription, Result<Message>>();
    is_stream::<SessionStates, SessionState>();
    is_stream::<Names, Result<Name>>();
    is_stream::<Assignments, Result<AssignmentEvent>>();
}

#[tokio::test(start_paused = true)]
async fn streams_of_a_closed_coordinator_end_after_one_error() -> Result<(), Error> {
    let coordinator = tooz_core::connect("memory://streams").await?;
    coordinator.group("g").create().await?;
    let watch = coordinator.group("g").watch().await?;
    let observation = coordinator.election("e").observe();
    let subscription = coordinator.topic("t").subscribe(StartAt::Latest).await?;
    let states = coordinator.states();
    coordinator.close().await;
    let kinds = |error: &Error| error.kind();
    let errors: Vec<_> = watch.filter_map(async |item| item.err().as_ref().map(kinds)).collect().await;
    assert_eq!(errors, [ErrorKind::Closed]);
    let errors: Vec<_> = observation.filter_map(async |item| item.err().as_ref().map(kinds)).collect().await;
    assert_eq!(errors, [ErrorKind::Closed]);
    let errors: Vec<_> = subscription.filter_map(async |item| item.err().as_ref().map(kinds)).collect().await;
    assert_eq!(errors, [ErrorKind::Closed]);
    assert_eq!(states.collect::<Vec<_>>().await.last(), Some(&SessionState::Closed));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_where_a_dropped_call_has_waited() -> Result<(), Error> {
    let (a, b) = (connect("a").await?, connect("b").await?);
    let mut leaders = a.election("e").observe();
    let mut messages = a.topic("t").subscribe(StartAt::Latest).await?;
    assert_eq!(leaders.next().await?, None);
    for _ in 0..3 {
        let short = std::time::Duration::from_millis(10);
        assert!(tokio::time::timeout(short, leaders.next()).await.is_err());
        assert!(tokio::time::timeout(short, messages.next()).await.is_err());
    }
    let leadership = b.election("e").campaign().await?;
    b.topic("t").publish(b"1").await?;
    b.topic("t").publish(b"2").await?;
    let leader = StreamExt::next(&mut leaders).await.transpose()?.flatten();
    assert_eq!(leader.map(|leader| leader.term), Some(leadership.term()));
    assert_eq!(messages.next().await?.payload, b"1");
    let position = messages.position();
    assert_eq!(StreamExt::next(&mut messages).await.transpose()?.map(|message| message.payload), Some(b"2".to_vec()));
    assert!(messages.position() > position);
    Ok(())
}

async fn connect(member: &str) -> Result<Coordinator> {
    Coordinator::builder("memory://streams-dropped").member(member).connect().await
}
