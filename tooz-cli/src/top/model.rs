//! The state of the screen: what is in use, and how the user looks at it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::update::{Content, Update};
use crate::inspect::{Kind, Object};

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// By kind and name.
    #[default]
    Name,
    /// The most waiters first.
    Waiters,
    /// The most holders first.
    Holders,
    /// The longest held first.
    Age,
}

impl Order {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Name => Self::Waiters,
            Self::Waiters => Self::Holders,
            Self::Holders => Self::Age,
            Self::Age => Self::Name,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Waiters => "waiters",
            Self::Holders => "holders",
            Self::Age => "age",
        }
    }
}

/// What the next key means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is a command.
    #[default]
    Browse,
    /// It belongs to the filter.
    Filter,
    /// It answers whether to break this object.
    Confirm(Object),
}

/// The state.
#[derive(Debug, Default)]
pub(super) struct Model {
    objects: BTreeMap<Object, Content>,
    /// The objects that are shown, in their order.
    rows: Vec<Object>,
    pub(super) filter: String,
    pub(super) order: Order,
    pub(super) mode: Mode,
    pub(super) selected: usize,
    /// Whether the user has moved the selection. It then stays on its object, and before on the first row.
    is_chosen: bool,
    /// Why the backend does not answer, or what the last command did.
    pub(super) message: String,
    is_failing: bool,
}

impl Model {
    pub(super) fn apply(&mut self, update: Update) {
        match update {
            Update::Changed(object, content) => drop(self.objects.insert(object, content)),
            Update::Gone(object) => drop(self.objects.remove(&object)),
            Update::Backend(Err(error)) => (self.message, self.is_failing) = (error, true),
            Update::Backend(Ok(())) => {
                if std::mem::take(&mut self.is_failing) {
                    self.message.clear();
                }
            }
        }
    }

    /// Computes the rows anew.
    pub(super) fn arrange(&mut self) {
        let selected = self.rows.get(self.selected).filter(|_| self.is_chosen).cloned();
        let filter = self.filter.to_lowercase();
        let matching = self.objects.iter().filter(|(object, content)| matches(object, content, &filter));
        let mut rows: Vec<(&Object, &Content)> = matching.collect();
        match self.order {
            // The map has this order.
            Order::Name => {}
            Order::Waiters => rows.sort_by_key(|(_, content)| Reverse(content.waiters.len())),
            Order::Holders => rows.sort_by_key(|(_, content)| Reverse(content.holders.len())),
            Order::Age => {
                rows.sort_by_key(|(_, content)| content.holders.first().map_or(u64::MAX, |holder| holder.since_ms))
            }
        }
        self.rows = rows.into_iter().map(|(object, _)| object.clone()).collect();
        let kept = selected.and_then(|selected| self.rows.iter().position(|row| *row == selected));
        let otherwise = if self.is_chosen { self.selected } else { 0 };
        self.selected = kept.unwrap_or(otherwise).min(self.rows.len().saturating_sub(1));
    }

    /// The rows from `first` on.
    pub(super) fn rows(&self, first: usize, count: usize) -> impl Iterator<Item = (&Object, &Content)> {
        let rows = self.rows.iter().skip(first).take(count);
        rows.filter_map(|object| self.objects.get_key_value(object))
    }

    pub(super) fn row_count(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn selected(&self) -> Option<(&Object, &Content)> {
        self.rows.get(self.selected).and_then(|object| self.objects.get_key_value(object))
    }

    /// How many objects of a kind are in use.
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.objects.keys().filter(|object| object.kind == kind).count()
    }

    /// Moves the selection by a number of rows.
    pub(super) fn select(&mut self, by: isize) {
        self.is_chosen = true;
        self.selected = self.selected.saturating_add_signed(by).min(self.rows.len().saturating_sub(1));
    }
}

/// Whether the kind, the name or a participant contains the filter.
fn matches(object: &Object, content: &Content, filter: &str) -> bool {
    let contains = |text: &str| text.to_lowercase().contains(filter);
    filter.is_empty()
        || contains(object.kind.as_str())
        || contains(&object.name.to_string())
        || content.holders.iter().chain(&content.waiters).any(|participant| contains(&participant.member))
}

#[cfg(test)]
mod tests {
    use tooz::Name;

    use super::*;
    use crate::inspect::ParticipantView;

    fn object(name: &str) -> Object {
        Object { kind: Kind::Lock, name: Name::new(name).unwrap() }
    }

    fn content(member: &str, waiters: usize) -> Content {
        let participant =
            |member: &str| ParticipantView { member: member.to_owned(), token: 1, shared: false, since_ms: 1 };
        let waiters = vec![participant("w"); waiters];
        Content { holders: vec![participant(member)], waiters, ..Content::default() }
    }

    #[test]
    fn the_selection_stays_on_its_object() {
        let mut model = Model::default();
        for (name, waiters) in [("a", 0), ("b", 2), ("c", 1)] {
            model.apply(Update::Changed(object(name), content(name, waiters)));
        }
        model.arrange();
        model.select(2);
        model.order = Order::Waiters;
        model.arrange();
        assert_eq!(model.selected().map(|(object, _)| object.name.to_string()), Some("c".to_owned()));
        assert_eq!(model.rows(0, 9).map(|(object, _)| object.name.to_string()).collect::<Vec<_>>(), ["b", "c", "a"]);
        model.apply(Update::Gone(object("c")));
        model.arrange();
        assert_eq!(model.row_count(), 2);
        assert!(model.selected().is_some());
    }

    #[test]
    fn the_filter_finds_names_and_holders() {
        let mut model = Model::default();
        model.apply(Update::Changed(object("nightly"), content("host-1", 0)));
        model.apply(Update::Changed(object("deploy"), content("host-2", 0)));
        for (filter, found) in [("NIGHT", 1), ("host-2", 1), ("lock", 2), ("nothing", 0), ("", 2)] {
            model.filter = filter.to_owned();
            model.arrange();
            assert_eq!(model.row_count(), found, "{filter}");
        }
    }
}
