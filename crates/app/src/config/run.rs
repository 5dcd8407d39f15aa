//! `[[run]]`: a child process, as its section describes it. Starts none.

use super::{OptionSpec, Options, Problem, Text, ValueKind};
use std::time::Duration;
use tress_core::restart::{Intensity, RestartPolicy, RestartWhen};

/// The most that `restart_limit` may be: so many times are remembered for each child.
pub const RESTART_LIMIT_MAX: u64 = 1000;

/// When a child is started again, as `restart` says it.
const WHEN: &[&str] = &["always", "on-failure", "never"];

const fn option(
    name: &'static str,
    value: ValueKind,
    default: &'static str,
    doc: &'static str,
) -> OptionSpec {
    OptionSpec {
        name,
        value,
        required: false,
        default,
        doc,
    }
}

/// The keys of `[[run]]`.
pub const RUN_OPTIONS: &[OptionSpec] = &[
    OptionSpec {
        required: true,
        ..option(
            "name",
            ValueKind::String,
            "",
            "What it is called in the log and when it is listed, started and stopped.",
        )
    },
    OptionSpec {
        required: true,
        ..option(
            "command",
            ValueKind::Strings,
            "",
            "The program and its arguments, as a list: no shell reads it. A relative path with a `/` starts beside the file.",
        )
    },
    option(
        "directory",
        ValueKind::Path,
        "",
        "Its working directory; by default that of `tress`.",
    ),
    option(
        "environment",
        ValueKind::TableOfStrings,
        "",
        "Its environment variables.",
    ),
    option(
        "inherit_environment",
        ValueKind::Bool,
        "false",
        "Whether it gets the variables of `tress`, too; secrets may be among them.",
    ),
    option(
        "user",
        ValueKind::Count,
        "",
        "The number of the user to become.",
    ),
    option(
        "group",
        ValueKind::Count,
        "",
        "The number of the group to become.",
    ),
    option(
        "restart",
        ValueKind::Choice(WHEN),
        "always",
        "After which end it is started again: `always`, `on-failure` (all but code 0), or `never`.",
    ),
    option(
        "threshold",
        ValueKind::Duration,
        "1s",
        "What ran at least so long is started again at once, and the next delay is the shortest.",
    ),
    option(
        "min_restart_delay",
        ValueKind::Duration,
        "1s",
        "How long what ran shorter waits the first time; twice as long each time after that.",
    ),
    option(
        "max_restart_delay",
        ValueKind::Duration,
        "1h",
        "No delay is longer.",
    ),
    option(
        "restart_limit",
        ValueKind::Count,
        "",
        "It is given up when it would be started again more often than this within `restart_period`, 1 to 1000; by default \
         never.",
    ),
    option(
        "restart_period",
        ValueKind::Duration,
        "1m",
        "For how long a restart counts for `restart_limit`.",
    ),
    option(
        "kill_time",
        ValueKind::Duration,
        "5s",
        "How long it may take to end after SIGTERM, before it is killed; no longer than the limit `shutdown` allows when \
         all stops.",
    ),
];

/// `[[run]]`: a child process that is kept running.
#[derive(Clone, Debug)]
pub struct RunSection {
    /// Its keys, checked against [`RUN_OPTIONS`].
    pub options: Options,
    /// The name, if it has one.
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<Text>,
    /// When it is started again.
    pub policy: RestartPolicy,
    /// How long it may take to end.
    pub kill_time: Duration,
    /// The user to become.
    pub user: Option<u32>,
    /// The group to become.
    pub group: Option<u32>,
}

impl RunSection {
    /// Of keys that are right as far as their table says; what else is wrong goes to `wrong`.
    pub(super) fn read(options: Options, wrong: &mut dyn FnMut(Problem)) -> Option<Self> {
        let mut reading = Reading {
            options: &options,
            found: Vec::new(),
        };
        let command = options.strings("command").ok()?;
        reading.found.extend(wrong_command(&options, &command));
        let policy = reading.policy();
        let kill_time = reading.some_time("kill_time");
        let (user, group) = (reading.number("user"), reading.number("group"));
        let right = reading.found.is_empty();
        reading.found.into_iter().for_each(wrong);
        let name = options.optional_string("name").ok().flatten();
        let name = name.unwrap_or_default().to_owned();
        right.then_some(Self {
            name,
            command,
            policy,
            kill_time,
            user,
            group,
            options,
        })
    }
}

/// Reads what a table of options does not check. What is wrong counts as nothing.
struct Reading<'r> {
    options: &'r Options,
    found: Vec<Problem>,
}

impl Reading<'_> {
    fn say(&mut self, key: &str, message: impl Into<String>) {
        self.found.push(self.options.problem(key, message));
    }

    fn policy(&mut self) -> RestartPolicy {
        let policy = RestartPolicy {
            when: match self.options.optional_string("restart").ok().flatten() {
                Some("never") => RestartWhen::Never,
                Some("on-failure") => RestartWhen::OnFailure,
                _ => RestartWhen::Always,
            },
            threshold: self.some_time("threshold"),
            min_restart_delay: self.some_time("min_restart_delay"),
            max_restart_delay: self.some_time("max_restart_delay"),
            intensity: self.intensity(),
        };
        if policy.max_restart_delay < policy.min_restart_delay {
            self.say(
                "max_restart_delay",
                "expected no less than `min_restart_delay`",
            );
        }
        policy
    }

    fn intensity(&mut self) -> Option<Intensity> {
        let period = self.some_time("restart_period");
        let limit = self.options.optional_count("restart_limit").ok()??;
        if !(1..=RESTART_LIMIT_MAX).contains(&limit) {
            let message = format!(
                "expected 1 to {RESTART_LIMIT_MAX}; `restart = \"never\"` is for none at all"
            );
            self.say("restart_limit", message);
        }
        let restarts = u32::try_from(limit).ok()?;
        Some(Intensity { restarts, period })
    }

    fn some_time(&mut self, key: &str) -> Duration {
        let time = self.options.duration(key).unwrap_or_default();
        if time.is_zero() {
            self.say(key, "expected more than nothing");
        }
        time
    }

    /// Of a user or a group. The largest stands for "unchanged" where systems take one.
    fn number(&mut self, key: &str) -> Option<u32> {
        let number = self.options.optional_count(key).ok()??;
        match u32::try_from(number) {
            Ok(u32::MAX) | Err(_) => {
                self.say(key, "expected a number below 4294967295");
                None
            }
            Ok(number) => Some(number),
        }
    }
}

fn wrong_command(options: &Options, command: &[Text]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let [only] = command
        && only.value.contains(char::is_whitespace)
    {
        let words: Vec<String> = only
            .value
            .split_whitespace()
            .map(|word| format!("{word:?}"))
            .collect();
        let message = format!(
            "no shell reads it; expected a list such as [{}]",
            words.join(", ")
        );
        problems.push(options.problem_at("command", only.at, message));
    }
    if command
        .first()
        .is_some_and(|program| program.value.is_empty())
    {
        let message = "expected a program, found an empty string";
        problems.push(options.problem_at("command", command[0].at, message));
    }
    let nul = command.iter().find(|text| text.value.contains('\0'));
    if let Some(text) = nul {
        problems.push(options.problem_at("command", text.at, "no argument can have a zero byte"));
    }
    for (name, value) in options
        .optional_table_of_strings("environment")
        .ok()
        .flatten()
        .into_iter()
        .flatten()
    {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let message = "no variable can be called so, or have a zero byte";
            problems.push(options.problem("environment", message));
        }
    }
    problems
}
