//! How the clients of a run are numbered and named.

/// The number of a client. `OUTSIDE` stands for the run itself.
pub type Client = u16;

/// The client number of faults and of what is found at the end.
pub const OUTSIDE: Client = Client::MAX;

/// The client number of the hostile neighbour. Its entries cannot be read, so others see it without a member name.
pub(super) const NEIGHBOUR: Client = 400;

/// If a client is killed, its replacement has the number of the client plus a multiple of this. So have the copies of a
/// client whose process forks.
pub(super) const GENERATION: Client = 1000;

/// Clients with this number or a greater one only observe: they watch, read or follow an election.
const OBSERVERS: Client = 500;

/// The number of an observer.
pub(super) fn observer(index: usize) -> Client {
    OBSERVERS + Client::try_from(index).unwrap_or_default()
}

/// Whether a client only observes.
pub(super) fn is_observer(client: Client) -> bool {
    client % GENERATION >= OBSERVERS
}

/// The member name of a client's coordinators, and of its replacements.
pub(super) fn member(client: Client) -> String {
    format!("c{}", client % GENERATION)
}
