//! The behaviour suite: what every driver must do, written once. `check_driver!` mounts it.
//!
//! Each behaviour is a plain function over a [`World`]: a reactor on the driver under test, peers to talk to, and a
//! clock set by hand. Names are those of Twisted's reactor tests where they exist. Waits for no real time to pass.
//!
//! ```text
//! tress_core::check_driver!(mio, MioWorld::new);
//! ```

pub mod accept;
pub mod adopted;
pub mod buffers;
pub mod close;
pub mod connect;
pub mod connector;
pub mod datagrams;
pub mod descriptors;
pub mod failures;
pub mod half_close;
pub mod jobs;
pub mod layers;
pub mod limits;
pub mod processes;
pub mod producers;
pub mod pushed_layers;
pub mod reactor_loop;
pub mod read;
mod recorder;
pub mod shutdown;
pub mod signals;
pub mod storms;
pub mod tasks;
pub mod timers;
mod veil;
mod witness;
pub mod write;

pub use witness::{REPORT, play};

use crate::{
    datagram::DatagramTransport,
    descriptor::Descriptor,
    driver::Interface,
    failure::Result,
    process::Command,
    reactor::{Port, Reactor},
    signal::Signal,
};
use jobs::{Gate, JobsRun};
use processes::Does;
use std::{any::Any, net::IpAddr, rc::Rc, time::Duration};

/// A driver under test and what surrounds it.
pub trait World {
    /// The reactor of the servers.
    fn reactor(&self) -> Reactor;

    /// The reactor of the clients; may be the same one.
    fn client(&self) -> Reactor;

    /// An endpoint to listen at; where it has ports, with port 0.
    fn listen_at(&self) -> String;

    /// The endpoint that reaches this port.
    fn connect_to(&self, port: &Port) -> String;

    /// Turns the reactors until the condition holds.
    ///
    /// # Panics
    /// When it does not after many turns; the text says so.
    fn until(&self, condition: &mut dyn FnMut() -> bool);

    /// Turns the reactors until nothing more happens. The clock does not move.
    fn settle(&self);

    /// One turn of one of the reactors, made by whoever turns it here, which does not wait.
    fn turn(&self, reactor: &Reactor) {
        let turned = reactor.turn(Some(Duration::ZERO));
        turned.expect("the driver works");
    }

    /// Runs one of the reactors until it has stopped, by whoever turns it here.
    ///
    /// # Errors
    /// As of [`Reactor::run`].
    fn run(&self, reactor: &Reactor) -> Result {
        reactor.run()
    }

    /// Whether another loop turns the reactors, which may do so once more than it must.
    fn is_hosted(&self) -> bool {
        false
    }

    /// Lets this much time pass by the manual clock, then settles.
    fn advance(&self, by: Duration);

    /// Lets time pass without any turn: what a callback that takes long does.
    fn pass(&self) -> Rc<dyn Fn(Duration)>;

    /// Whether a loop that has nothing to do waits for other threads, rather than for a virtual clock.
    fn waits_for_threads(&self) -> bool {
        true
    }

    /// Whether it can be told where a peer comes from, so that the connections of each can be counted.
    fn tells_peers_apart(&self) -> bool {
        true
    }

    /// Whether a peer sees that it was reset, and not closed.
    fn shows_resets(&self) -> bool {
        true
    }

    /// Whether the buffers of the driver reach the protocols, and no layer stands between.
    fn gives_buffers(&self) -> bool {
        true
    }

    /// An endpoint to connect to that never answers, if this world has one.
    fn silent(&self) -> Option<String> {
        None
    }

    /// The endpoint that reaches this port from a local address which is not ours, if this world has such a thing.
    fn connect_from_elsewhere(&self, port: &Port) -> Option<String> {
        let _ = port;
        None
    }

    /// An endpoint for a datagram port, with port 0 where it has ports; none when the driver has no datagrams.
    fn datagrams_at(&self) -> Option<String> {
        None
    }

    /// The endpoint of a datagram port that is connected to this one, and that can be answered.
    fn datagrams_to(&self, port: &DatagramTransport) -> String {
        format!("udp:{}", port.local_address())
    }

    /// The interface over which multicast goes between the two reactors.
    fn multicast_interface(&self) -> Interface {
        Interface::Any
    }

    /// An address that reaches all, if this world has one.
    fn broadcast(&self) -> Option<IpAddr> {
        None
    }

    /// Whether connections carry open files.
    fn passes_descriptors(&self) -> bool {
        false
    }

    /// An open file, and what says whether it is closed, here and wherever it was sent; if this world has any.
    fn descriptor(&self) -> Option<(Descriptor, Box<dyn Fn() -> bool>)> {
        None
    }

    /// Where the driver runs jobs.
    fn jobs_run(&self) -> JobsRun {
        JobsRun::Nowhere
    }

    /// A gate for jobs that are started after it was made. Where time is virtual they take up to `time` until then, and
    /// opening it lets that pass.
    fn gate(&self, time: Duration) -> Gate {
        let _ = time;
        Gate::for_threads()
    }

    /// How to start a child process that does this; none when the driver starts no processes.
    fn command(&self, does: Does) -> Option<Command> {
        let _ = does;
        None
    }

    /// What raises signals in the process of the servers, and in no other test meanwhile; none when the driver has no
    /// signals.
    fn signals(&self) -> Option<Box<dyn Fn(Signal)>> {
        None
    }

    /// Whether the driver takes over what was opened elsewhere. Then the world can open these.
    fn adopts(&self) -> bool {
        false
    }

    /// A socket that listens, and the endpoint that reaches it.
    fn open_port(&self) -> Option<(Descriptor, String)> {
        None
    }

    /// Both ends of a connection.
    fn open_pair(&self) -> Option<[Descriptor; 2]> {
        None
    }

    /// Leaves one descriptor to be had for a client, and none for the server, until what it returns is dropped; if this
    /// world can.
    fn exhaust(&self) -> Option<Box<dyn Any>> {
        None
    }
}

/// Mounts the whole suite on a driver: one `#[test]` for each behaviour, so that a failure names it.
///
/// `check_driver!(module_name, make_world)`, where `make_world()` gives a fresh [`World`].
/// It is written by the table below, so that no behaviour can be forgotten.
macro_rules! table {
    ($d:tt $($theme:ident: $($name:ident)*;)*) => {
        /// Mounts the behaviour suite on a driver: `check_driver!(name, make_world)` expands to one `#[test]` for each
        /// behaviour, so that a failure names it. `make_world()` gives a fresh `tress_core::testing::suite::World`.
        #[macro_export]
        macro_rules! check_driver {
            ($d driver:ident, $d make_world:expr) => {
                mod $d driver {
                    use super::*;
                    $(mod $theme {
                        use super::*;
                        $(#[test]
                        fn $name() {
                            $crate::testing::suite::play(
                                stringify!($d driver),
                                concat!(stringify!($theme), "::", stringify!($name)),
                                $crate::testing::suite::$theme::$name,
                                &$d make_world(),
                            );
                        })*
                    })*
                }
            };
        }

        /// Every behaviour: theme, name, function. For whoever mounts them in another way.
        pub const BEHAVIOURS: &[(&str, &str, fn(&dyn World))] = &[
            $($((stringify!($theme), stringify!($name), $theme::$name),)*)*
        ];
    };
}

table! { $
    connect:
        create_failure
        bind_failure
        connect_port_underflow
        connect_port_overflow
        connect_port_zero
        bad_endpoint_strings
        listening_at_port_zero_tells_the_real_one
        listening_twice_at_one_address_is_refused
        connect_fires_after_connection_made
        connect_fails_when_connection_made_fails
        connect_fails_when_connection_made_panics
        connect_timeout
        connect_timeout_of_the_endpoint
        connect_timeout_ends_with_the_attempt
        cancel_connect
        cancel_connect_later
        cancel_after_connect_does_nothing
        cancel_connect_inside_its_callbacks
        connect_starts_and_stops_its_factory
        connect_fails_when_start_factory_fails
        connect_while_stopping
        run_until_a_deferred_fires
        user_fail
        dropping_the_deferred_does_not_cancel
        client_build_protocol_returns_none;
    connector:
        connector_identity
        reconnect
        connection_failed_stops_reactor;
    accept:
        build_protocol_returns_none
        declined_connections_use_up_no_limit
        factory_panics
        start_and_stop_factory_are_counted_over_ports
        start_factory_panics
        start_factory_throws
        sharing_from_start
        stop_listening_twice
        stop_listening_keeps_open_connections
        stop_listening_inside_build_protocol
        connections_are_limited
        connections_per_peer_are_limited
        outgoing_connections_do_not_use_up_the_limit
        close_peer_on_emfile
        many_peers_in_one_batch;
    read:
        stop_start_reading
        pause_inside_data_received
        pause_in_connection_made
        read_when_full_is_no_resumption
        resume_producing_while_disconnecting
        resume_producing_while_disconnected
        connection_lost_after_paused_transport
        protocol_garbage_after_lost_connection
        bytes_per_turn_bound_a_flooding_peer
        a_quiet_peer_is_answered_beside_a_flooding_one
        large_data_arrives_byte_exact
        small_writes_arrive_in_order;
    buffers:
        taken_bytes_stay_as_they_were
        some_buffers_are_taken_and_some_are_not
        buffers_that_were_given_back_are_used_again
        buffers_are_bytes_for_who_does_not_take_them
        buffers_come_to_who_asked_only
        a_boxed_protocol_gets_its_buffers
        a_failure_with_a_taken_buffer_costs_one_connection;
    write:
        write_after_disconnect
        write_sequence_after_disconnect
        write_sequence_is_one_write
        writing_nothing_sends_nothing
        write_paused_and_write_resumed_come_once
        reading_pauses_while_output_is_full
        reading_goes_on_when_asked_although_output_is_full
        output_hard_limit_aborts
        output_hard_limit_counts_small_writes
        mixed_writes_keep_their_order
        pieces_written_as_one_keep_their_order
        writes_after_lose_connection_go_out_before_the_flush
        nothing_is_sent_after_the_end
        watch_flush_tells_once_when_all_has_left
        watch_flush_inside_write_resumed
        watch_flush_is_for_once
        watch_flush_before_the_end
        room_ends_at_the_high_water_mark
        statistics_count_bytes;
    producers:
        disconnect_while_producing
        unregister_producer_after_disconnect
        lose_connection_waits_for_a_producer
        streaming_producer_is_paused_and_resumed
        pull_producer_is_asked_after_each_drain
        pull_producer_is_asked_in_later_turns
        streaming_producer_after_a_pulled_one
        second_producer_is_refused
        register_producer_after_disconnect
        stop_producing_comes_before_connection_lost
        resume_producing_throws
        resume_producing_panics
        unregister_inside_pause_producing
        register_inside_pause_producing
        unregister_and_register_inside_resume_producing;
    close:
        lose_connection_flushes_first
        lose_connection_flushes_although_bytes_wait_unread
        lose_connection_never_calls_back_synchronously
        lose_connection_twice
        both_ends_close_at_once
        abort_never_calls_back_synchronously
        abort_connection_twice
        abort_then_lose_connection
        lose_connection_then_abort
        abort_from_data_received
        abort_in_connection_made
        abort_with_full_buffer
        reset_while_writing
        never_re_entered
        calls_are_made_in_order
        calls_after_the_end_fail
        calls_queued_before_an_abort_fail
        fail_ends_it_with_that_reason;
    half_close:
        double_half_close
        double_half_close_the_other_way
        read_closed_can_go_on_writing
        read_closed_closes_by_default
        half_close_flushes_first
        half_close_twice
        writes_after_half_close_are_dropped
        half_close_then_lose_connection
        read_closed_throws;
    failures:
        data_received_throws
        data_received_panics
        connection_made_throws
        write_paused_panics
        connection_lost_panics
        protocol_drop_panics
        protocol_drop_panics_after_connection_lost_panics
        call_panics
        timer_panics
        thread_call_panics
        deferred_callback_panics
        task_panics
        trigger_panics;
    layers:
        the_protocol_is_built_when_the_layer_is_up
        connect_fires_after_the_handshake
        connect_fails_with_the_layers_failure
        cancel_during_the_handshake
        the_handshake_of_a_layer_has_its_deadline
        a_factory_under_a_layer_may_decline_or_panic
        a_layer_that_cannot_be_made
        closing_flushes_through_two_layers
        a_layer_that_fails_ends_what_lies_above
        a_layer_that_fails_before_it_is_up
        bytes_that_a_layer_holds_wait_for_a_pause
        a_producer_above_a_layer_goes_at_the_peers_pace
        output_above_a_layer_is_bounded
        calls_reach_the_protocol_through_layers
        calls_without_end_do_not_hold_the_loop
        a_layer_may_know_the_ends_better
        closing_above_a_layer_is_bounded
        stop_during_the_handshake
        stop_lets_layers_say_goodbye
        abort_above_a_layer;
    pushed_layers:
        a_pushed_layer_begins_where_it_was_pushed
        much_written_after_a_push_goes_through_the_layer
        two_pushed_layers_lie_on_each_other
        a_layer_is_pushed_from_anywhere
        a_layer_that_is_pushed_when_closing
        a_layer_that_is_pushed_too_late
        a_layer_hears_that_the_peer_sends_no_more
        half_close_waits_for_a_pushed_layer
        the_lowest_link_has_deadlines_and_options
        an_idle_timeout_outlives_a_push;
    limits:
        shutdown_deadline
        shutdown_deadline_is_not_put_off
        idle_deadline
        idle_deadline_restarts_with_each_byte
        idle_deadline_restarts_with_bytes_sent
        set_idle_timeout
        set_idle_timeout_none
        clients_have_no_idle_deadline
        handshake_deadline
        handshake_deadline_begins_when_it_is_asked_for
        handshake_deadline_is_not_put_off
        handshake_done
        idle_deadline_starts_anew_after_the_handshake
        thread_calls_are_limited;
    timers:
        fifo_among_equals
        cancel_twice
        cancel_after_the_call
        cancel_inside_another_call
        reset_and_delay
        reset_inside_its_own_call
        calls_scheduled_during_a_turn_run_in_the_next
        a_failing_call_does_not_stop_the_others
        a_failing_call_is_logged
        a_call_in_ten_years_neither_overflows_nor_spins
        distant_delayed_call
        a_million_timers_cancelled_leave_nothing
        after_fires_and_cancels
        next_deadline_is_the_first_timer;
    reactor_loop:
        turn_order
        a_task_woken_by_a_timer_runs_before_the_wait
        a_turn_inside_a_callback_is_refused
        call_from_thread_is_fifo
        call_from_thread_waits_for_the_next_turn
        call_from_thread_wakes_a_waiting_loop
        distant_timer_does_not_keep_the_loop_from_waking
        statistics_count_stalls
        statistics_count_a_stall_in_connection_lost
        statistics_count_turns
        has_backlog_only_while_there_is_something;
    shutdown:
        stop_when_not_started
        run_twice
        run_after_stop
        stop_twice
        call_when_running
        shutdown_events_come_in_order
        shutdown_waits_for_before_triggers
        shutdown_is_bounded_by_its_deadline
        the_loop_knows_when_a_stop_ends
        is_running_until_the_end
        run_inside_a_shutdown_trigger
        removed_trigger_is_not_called
        shutdown_disconnects_cleanly
        shutdown_stops_listening
        shutdown_fails_attempts
        shutdown_flushes
        shutdown_cuts_off_a_peer_that_never_reads;
    storms:
        connect_and_abort
        connect_and_reuse_in_one_turn;
    tasks:
        a_task_is_polled_once_at_once
        a_task_that_is_always_ready_starves_nobody
        a_task_that_holds_the_loop_is_named
        a_task_is_woken_from_another_thread
        cancelling_a_task_drops_it_and_what_it_awaits
        a_task_may_cancel_itself
        a_task_that_cancels_itself_may_panic_at_its_end
        a_task_that_is_woken_twice_is_polled_once
        dropping_the_deferred_of_a_task_lets_it_run
        a_task_that_turns_the_loop_is_polled_again
        values_in_force_go_with_timers_tasks_and_calls_from_threads
        the_context_of_a_task_is_taken_at_its_start
        the_failure_of_a_task_knows_its_way;
    jobs:
        a_job_gives_its_result
        a_job_fails
        a_job_panics
        cancelling_a_job_that_waits
        cancelling_a_job_that_runs
        a_cancelled_job_panics_when_it_is_dropped
        dropping_the_deferred_of_a_job_lets_it_run
        jobs_run_in_order_on_one_thread
        jobs_waiting_are_limited
        suggest_thread_pool_size
        a_thousand_jobs_all_come_back
        the_context_goes_along_with_a_job
        call_in_thread_is_for_nobody
        call_multiple_in_thread_is_one_job
        stop_waits_for_jobs
        stop_waits_for_a_cancelled_job_that_runs
        stop_leaves_jobs_behind_when_time_is_up
        jobs_work_each_time_it_runs
        blocking_call_from_thread_gives_the_result
        blocking_call_from_thread_re_raises
        blocking_call_from_thread_on_the_loop_is_refused
        blocking_call_from_a_job
        blocking_call_from_thread_ends_with_the_run
        blocking_call_from_thread_when_there_is_no_room
        results_of_jobs_always_have_room;
    datagrams:
        datagrams_come_whole_and_apart
        an_answer_goes_to_whom_it_is_for
        answers_of_one_batch_all_arrive
        start_protocol_comes_first_and_stop_protocol_last
        start_protocol_throws
        start_protocol_panics
        a_bad_datagram_does_not_end_the_port
        a_panic_does_not_end_the_port
        failures_are_logged_once_a_second
        connection_refused_throws
        stop_protocol_panics
        a_datagram_protocol_is_never_re_entered
        stop_listening_inside_datagram_received
        stop_listening_inside_start_protocol
        stop_listening_waits_for_the_mailbox
        datagrams_written_before_the_stop_leave
        nothing_is_written_after_the_stop
        a_stopped_port_can_be_opened_again
        dropping_the_handle_keeps_the_port
        shutdown_stops_datagram_ports
        nothing_is_opened_while_stopping
        a_connected_port_hears_only_its_peer
        what_came_before_the_connect_is_not_delivered
        a_port_is_connected_once
        a_closed_port_refuses
        a_port_that_was_stopped_is_not_refused
        addresses_that_no_port_reaches
        names_are_not_looked_up
        a_datagram_that_is_too_long_is_not_sent
        a_datagram_that_is_too_long_is_not_delivered
        a_full_queue_drops_the_newest
        a_flood_of_datagrams_starves_no_connection
        datagrams_per_turn_are_bounded
        a_slow_datagram_is_a_stall
        two_ports_at_one_address
        multicast_goes_to_the_members
        broadcast_must_be_allowed
        options_of_a_port_that_is_closed;
    descriptors:
        a_descriptor_comes_before_its_byte
        descriptors_between_writes_keep_their_order
        a_descriptor_does_not_overtake
        a_descriptor_behind_much_output
        no_descriptor_goes_through_a_layer
        waiting_descriptors_are_limited
        descriptors_that_nobody_asked_for_are_closed
        descriptors_that_were_not_sent_are_closed
        descriptors_that_were_not_read_are_closed
        a_failure_with_a_descriptor_costs_its_connection
        a_panic_with_a_descriptor_costs_its_connection
        aborting_with_a_descriptor_delivers_no_more
        closing_with_a_descriptor_delivers_no_more;
    processes:
        events_come_in_order_and_ended_is_last
        nothing_is_heard_before_the_next_turn
        success_is_process_done_and_everything_else_process_terminated
        process_ended_waits_for_the_pipes
        a_child_that_closes_its_own_descriptors
        signals_by_name_and_number
        stop_and_continue
        signals_after_the_end_are_refused
        write_and_close_stdin
        what_cannot_be_written_to_says_why
        large_data_goes_through_a_child
        a_child_that_writes_more_than_is_read_waits
        a_child_that_does_not_read_is_waited_for
        descriptors_are_where_they_are_asked_for
        a_socket_goes_both_ways
        a_terminal_counts_as_one
        a_terminal_excludes_a_map
        arguments_and_environment
        a_program_that_is_not_there
        a_child_that_ignores_sigterm_is_killed_in_bounded_time
        a_child_that_ends_at_sigterm_is_not_killed
        a_stop_of_the_reactor_stops_its_children
        nothing_is_spawned_while_stopping
        a_detached_child_is_left_to_itself
        more_children_than_the_limit_are_not_started
        a_callback_that_fails_ends_its_child
        the_output_of_a_process
        what_has_no_output_fails
        output_has_a_limit_and_can_be_cancelled;
    signals:
        a_signal_runs_its_handlers_in_the_next_turn
        signals_raised_together_are_one
        each_signal_has_its_own_handlers
        a_removed_handler_is_not_called
        handlers_come_and_go_inside_a_handler
        a_handler_that_panics
        kill_and_stop_cannot_be_caught
        a_signal_that_came_too_late_is_nobody_elses
        stop_on_signals;
    adopted:
        adopting_is_refused_where_there_is_no_such_thing
        an_adopted_port_serves
        an_adopted_connection_begins_in_a_later_turn
        an_adopted_connection_is_none_that_was_accepted
        adopting_is_cancelled
        adopting_while_stopping
        an_adopted_connection_nobody_wants
        a_factory_that_fails_closes_what_it_was_for;
}

#[cfg(test)]
mod tests;
