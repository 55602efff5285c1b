//! What a key does.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Mode, Model};
use crate::inspect::{Kind, Object};

/// How far PageUp and PageDown move.
const PAGE: isize = 20;

/// What the loop has to do after a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Redraw,
    Quit,
    Break(Object),
}

/// Changes the model.
pub(super) fn press(key: KeyEvent, model: &mut Model) -> Action {
    if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
        return Action::Quit;
    }
    match std::mem::take(&mut model.mode) {
        Mode::Browse => browse(key.code, model),
        Mode::Filter => filter(key.code, model),
        Mode::Confirm(object) if key.code == KeyCode::Char('y') => Action::Break(object),
        Mode::Confirm(_) => Action::Redraw,
    }
}

fn browse(key: KeyCode, model: &mut Model) -> Action {
    match key {
        KeyCode::Char('q') => return Action::Quit,
        KeyCode::Esc => model.filter.clear(),
        KeyCode::Char('/') => model.mode = Mode::Filter,
        KeyCode::Char('s') => model.order = model.order.next(),
        KeyCode::Char('b') => confirm(model),
        KeyCode::Down | KeyCode::Char('j') => model.select(1),
        KeyCode::Up | KeyCode::Char('k') => model.select(-1),
        KeyCode::PageDown => model.select(PAGE),
        KeyCode::PageUp => model.select(-PAGE),
        KeyCode::Home => model.select(isize::MIN),
        KeyCode::End => model.select(isize::MAX),
        _ => {}
    }
    Action::Redraw
}

fn confirm(model: &mut Model) {
    let selected = model.selected().map(|(object, _)| object.clone());
    match selected {
        Some(object) if matches!(object.kind, Kind::Lock | Kind::Semaphore | Kind::Election) => {
            model.mode = Mode::Confirm(object);
        }
        _ => "only a lock, semaphore or election can be broken".clone_into(&mut model.message),
    }
}

fn filter(key: KeyCode, model: &mut Model) -> Action {
    model.mode = Mode::Filter;
    match key {
        KeyCode::Enter => model.mode = Mode::Browse,
        KeyCode::Esc => (model.mode, model.filter) = (Mode::Browse, String::new()),
        KeyCode::Backspace => drop(model.filter.pop()),
        KeyCode::Char(character) => model.filter.push(character),
        _ => {}
    }
    Action::Redraw
}
