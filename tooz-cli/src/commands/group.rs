//! `tooz group`: creating, deleting, showing, joining and watching a group, and removing a member.

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use tooz::{Capabilities, Coordinator, Group, GroupEvent, Member, Value};

use super::session::with_session;
use crate::backend::Backend;
use crate::exit::{NO, Result};
use crate::inspect::MemberView;
use crate::output::{Printer, Table, age, say};

/// What to do with a group.
#[derive(Args, Debug)]
pub(crate) struct GroupCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Creates the group. The exit code is 1 if it exists already.
    Create {
        /// The name of the group.
        name: String,
    },
    /// Deletes the group, which must have no members.
    Delete {
        /// The name of the group.
        name: String,
    },
    /// Shows the members with their capabilities.
    Show {
        /// The name of the group.
        name: String,
    },
    /// Joins the group and stays a member until a signal ends the program. The group is created if it does not exist.
    Join {
        /// The name of the group.
        name: String,
        /// Publishes a capability, such as weight=2. Numbers, true and false are values of their own types.
        #[arg(long = "capability", value_parser = capability, value_name = "NAME=VALUE")]
        capabilities: Vec<(String, Value)>,
    },
    /// Prints the present members, and then each change.
    Watch {
        /// The name of the group.
        name: String,
    },
    /// Removes a member. Its client is notified and does not join again by itself.
    Break {
        /// The name of the group.
        name: String,
        /// The member id.
        member: String,
    },
}

impl GroupCommand {
    pub(crate) async fn run(&self, backend: &Backend, printer: Printer) -> Result<u8> {
        with_session(backend, async |coordinator| self.action.perform(coordinator, printer).await).await
    }
}

impl Action {
    fn name(&self) -> &str {
        match self {
            Self::Create { name }
            | Self::Delete { name }
            | Self::Show { name }
            | Self::Join { name, .. }
            | Self::Watch { name }
            | Self::Break { name, .. } => name,
        }
    }

    async fn perform(&self, coordinator: &Coordinator, printer: Printer) -> Result<u8> {
        let group = coordinator.group(self.name());
        match self {
            Self::Create { name } => {
                group.create().await?;
                print_event("created", name, printer)?;
            }
            Self::Delete { name } => {
                group.delete().await?;
                print_event("deleted", name, printer)?;
            }
            Self::Show { .. } => return show(&group, printer).await,
            Self::Join { capabilities, .. } => join(&group, capabilities, printer).await?,
            Self::Watch { .. } => watch(&group, printer).await?,
            Self::Break { member, .. } => {
                let member = group.evict(member).await?;
                return print_members(&[member], printer).map(|()| 0);
            }
        }
        Ok(0)
    }
}

fn print_event(event: &str, name: &str, printer: Printer) -> Result<()> {
    printer.line(&json!({ "event": event, "name": name }), || format!("{event} {name}"))
}

async fn show(group: &Group, printer: Printer) -> Result<u8> {
    let members = group.members().await?;
    print_members(&members, printer)?;
    Ok(if members.is_empty() { NO } else { 0 })
}

fn print_members(members: &[Member], printer: Printer) -> Result<()> {
    let members: Vec<_> = members.iter().map(MemberView::from).collect();
    printer.table(&members, || {
        let mut table = Table::new(&["MEMBER", "SINCE", "CAPABILITIES"]);
        members.iter().for_each(|member| {
            table.push([member.member.clone(), age(member.since_ms), member.capabilities.to_string()]);
        });
        table
    })
}

/// Stays a member until the future is dropped, or until another client removes the member.
async fn join(group: &Group, capabilities: &[(String, Value)], printer: Printer) -> Result<()> {
    group.create_if_missing().await?;
    let membership = group.join(Capabilities::from_iter(capabilities.iter().cloned())).await?;
    let mut event = "joined";
    loop {
        membership.joined().await?;
        let member = membership.member().to_string();
        printer.line(&json!({ "event": event, "member": member }), || format!("{event} as {member}"))?;
        let cause = membership.lost().await;
        say("lost", cause);
        event = "rejoined";
    }
}

/// A change as it is printed.
#[derive(Serialize)]
struct Change {
    event: &'static str,
    #[serde(flatten)]
    member: Option<MemberView>,
}

async fn watch(group: &Group, printer: Printer) -> Result<()> {
    let mut events = group.watch().await?;
    loop {
        let (event, member) = match events.next().await? {
            GroupEvent::Joined(member) => ("joined", Some(member)),
            GroupEvent::Left(member) => ("left", Some(member)),
            GroupEvent::Updated(member) => ("updated", Some(member)),
            _ => ("resync", None),
        };
        let change = Change { event, member: member.as_ref().map(MemberView::from) };
        printer.line(&change, || match &change.member {
            Some(member) => format!("{event} {} {}", member.member, member.capabilities),
            None => event.to_owned(),
        })?;
    }
}

/// A capability as in `weight=2`.
fn capability(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE, as in weight=2")?;
    let value = match (value.parse::<i64>(), value.parse::<f64>(), value.parse::<bool>()) {
        (Ok(number), ..) => Value::from(number),
        (_, Ok(number), _) => Value::from(number),
        (_, _, Ok(value)) => Value::from(value),
        _ => Value::from(value),
    };
    Ok((name.to_owned(), value))
}
