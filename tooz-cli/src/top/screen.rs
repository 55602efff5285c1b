//! Draws the model.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Paragraph, Row, Table, TableState};

use super::model::{Mode, Model};
use super::update::Content;
use crate::inspect::{Kind, Object, ParticipantView};
use crate::output::age;

/// The height of the part that shows the selected object.
const DETAILS: u16 = 9;
/// Below this height there is no room for it.
const LEAST_HEIGHT: u16 = 20;

/// What the title says about the connection.
#[derive(Clone, Debug)]
pub(super) struct Title {
    pub(super) backend: String,
    pub(super) state: String,
}

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, title: &Title) {
    let details = if frame.area().height >= LEAST_HEIGHT { DETAILS } else { 0 };
    let heights = [Constraint::Length(2), Constraint::Min(3), Constraint::Length(details), Constraint::Length(1)];
    let [head, rows, selected, foot] = Layout::vertical(heights).areas(frame.area());
    draw_head(frame, head, model, title);
    draw_rows(frame, rows, model);
    if details > 0 {
        draw_selected(frame, selected, model);
    }
    frame.render_widget(foot_line(model), foot);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, model: &Model, title: &Title) {
    let counts = Kind::ALL.map(|kind| format!("{kind}s {}", model.count(kind))).join("  ");
    let filter = if model.filter.is_empty() { String::new() } else { format!("  filter: {}", model.filter) };
    let first = Line::from(format!("tooz top  {}  {}", title.backend, title.state)).bold();
    let second = Line::from(format!("{counts}  order: {}{filter}", model.order.as_str()));
    frame.render_widget(Paragraph::new(vec![first, second]), area);
}

/// Only the rows that fit are made, so the number of objects does not matter.
fn draw_rows(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    let first = model.selected.saturating_sub(height / 2).min(model.row_count().saturating_sub(height));
    let rows = model.rows(first, height).map(|(object, content)| row(object, content));
    let widths = [
        Constraint::Length(9),
        Constraint::Fill(2),
        Constraint::Length(7),
        Constraint::Length(7),
        Constraint::Fill(2),
        Constraint::Length(6),
    ];
    let heads = Row::new(["KIND", "NAME", "HOLDERS", "WAITERS", "FIRST HOLDER", "SINCE"]);
    let table = Table::new(rows, widths)
        .header(heads.style(Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(model.selected.saturating_sub(first));
    frame.render_stateful_widget(table, area, &mut state);
}

fn row(object: &Object, content: &Content) -> Row<'static> {
    let (first, since) = match (content.holders.first(), content.newest) {
        (Some(holder), _) => (holder.member.clone(), age(holder.since_ms)),
        (None, Some(newest)) => (format!("newest message {newest}"), String::new()),
        (None, None) => Default::default(),
    };
    let counts = [content.holders.len(), content.waiters.len()].map(|count| match content.newest {
        Some(_) => String::new(),
        None => count.to_string(),
    });
    let [holders, waiters] = counts;
    let row = Row::new([object.kind.to_string(), object.name.to_string(), holders, waiters, first, since]);
    if content.waiters.is_empty() { row } else { row.yellow() }
}

fn draw_selected(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let Some((object, content)) = model.selected() else { return };
    let verb = if object.kind == Kind::Group { "member" } else { "holds" };
    let mut lines = Vec::new();
    for (index, holder) in content.holders.iter().enumerate() {
        let capabilities = content.capabilities.get(index).map(String::as_str).unwrap_or_default();
        lines.push(Line::from(format!("{} {capabilities}", participant(verb, holder))));
    }
    lines.extend(content.waiters.iter().map(|waiter| Line::from(participant("waits", waiter))));
    let block = Block::new().borders(Borders::TOP).title(format!("{} {}", object.kind, object.name));
    let room = usize::from(area.height.saturating_sub(1));
    if lines.len() > room {
        let hidden = lines.len() - room.saturating_sub(1);
        lines.truncate(room.saturating_sub(1));
        lines.push(Line::from(format!("and {hidden} more")));
    }
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn participant(verb: &str, participant: &ParticipantView) -> String {
    let ParticipantView { member, token, shared, since_ms } = participant;
    let token = if *token == 0 { String::new() } else { format!("  token {token}") };
    let mode = if *shared && !token.is_empty() { "  shared" } else { "" };
    format!("{verb:6} {member}  since {}{token}{mode}", age(*since_ms))
}

fn foot_line(model: &Model) -> Line<'static> {
    match &model.mode {
        Mode::Confirm(object) => {
            let text = format!("Break {} {}? Its holders lose it. y: yes, any other key: no", object.kind, object.name);
            Line::from(text).red().bold()
        }
        Mode::Filter => Line::from(format!("/{}_  Enter: keep, Esc: clear", model.filter)),
        Mode::Browse if !model.message.is_empty() => Line::from(model.message.clone()).red(),
        Mode::Browse => Line::from("q quit  / filter  s order  b break  arrows select").dim(),
    }
}
