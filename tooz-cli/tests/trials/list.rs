//! The list of all trials.

use super::{exit_codes, interrupts, json, kills, losses, objects, services, top};
use crate::support::Backend;

/// A trial.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedTrial {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Backend),
    /// Whether it needs a server: to freeze it, to cut it off, or to count what it is asked.
    pub(crate) needs_server: bool,
}

macro_rules! trials {
    ($needs_server:expr; $($module:ident :: $name:ident),* $(,)?) => {
        vec![$(NamedTrial {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: $module::$name,
            needs_server: $needs_server,
        }),*]
    };
}

pub(crate) fn all() -> Vec<NamedTrial> {
    [commands(), objects_and_services(), with_server()].concat()
}

fn commands() -> Vec<NamedTrial> {
    trials![false;
        exit_codes::the_exit_code_is_the_commands,
        exit_codes::a_lock_that_is_not_free_is_a_conflict,
        exit_codes::shared_holders_and_permits_count,
        exit_codes::the_token_rises,
        exit_codes::standard_input_and_output_pass_through,
        kills::the_program_is_killed,
        kills::the_command_is_killed,
        kills::the_program_and_the_command_are_killed,
        kills::the_runner_is_killed,
        kills::the_program_is_terminated,
        kills::a_command_that_ignores_sigterm_is_killed,
        kills::the_command_is_terminated,
        kills::the_program_and_the_command_are_terminated,
        kills::both_processes_of_tooz_are_killed,
        kills::signals_reach_the_command,
        kills::a_waiting_program_is_terminated,
        kills::another_client_breaks_the_lock,
        kills::what_the_command_leaves_running_is_ended,
        kills::each_command_ends_in_each_way,
        kills::a_command_that_is_only_warned_runs_on,
        interrupts::short_commands_leave_nothing,
        interrupts::commands_under_a_lock_leave_nothing,
    ]
}

fn objects_and_services() -> Vec<NamedTrial> {
    trials![false;
        objects::a_watch_reports_each_change,
        objects::the_doctor_finds_nothing_broken,
        objects::groups_have_members,
        objects::messages_are_received_in_order,
        objects::the_benchmark_has_three_figures,
        objects::queues_are_shown_and_broken,
        services::another_leader_follows,
        services::a_deposed_leader_leads_again,
        services::the_command_decides_what_a_signal_means,
        services::a_killed_service_leaves_nothing_held_and_nothing_running,
        services::a_period_has_one_run,
        services::each_period_has_a_run,
        json::each_command_prints_json,
        json::watches_print_a_line_of_json_for_each_change,
        json::a_loss_is_reported_as_json,
        json::an_output_that_is_not_a_terminal_has_no_colours,
        top::changes_appear_and_a_lock_is_broken,
        top::rows_are_sorted_and_ctrl_c_ends_the_view,
        top::a_thousand_locks_are_readable,
    ]
}

fn with_server() -> Vec<NamedTrial> {
    trials![true;
        exit_codes::a_backend_that_is_away_is_unavailable,
        interrupts::a_slow_doctor_leaves_no_group,
        losses::a_frozen_runner_holds_nothing,
        losses::a_holder_that_is_cut_off_ends_its_command_before_the_next_grant,
        losses::a_frozen_server_ends_the_command,
        losses::a_frozen_server_ends_each_kind_of_command,
        losses::a_frozen_server_is_unavailable,
        losses::a_command_that_ignores_sigterm_is_gone_before_the_next_grant,
        services::a_leader_behind_a_frozen_server_leads_again,
        top::a_frozen_server_shows_and_the_view_goes_on,
        top::an_idle_view_costs_no_more_than_a_session,
        top::a_new_name_among_many_costs_a_view_few_requests,
    ]
}
