//! A process that is asked by lines and answers each of them with one: both ends of its pipes. Knows no question.
//!
//! The process says `ready` first. What goes wrong in it is said in place of the answer: a line that makes no sense.

use crate::server::Helper;
use rustix::process::Signal;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

/// The side that asks. Dropping it ends the process.
#[derive(Debug)]
pub struct Asker {
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    // Last, so that it is killed after its pipes are closed.
    process: Helper,
}

impl Asker {
    /// Starts the process and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started, or says why it is not ready.
    pub fn open(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Helper(command.spawn()?);
        let (Some(questions), Some(answers)) = (process.0.stdin.take(), process.0.stdout.take())
        else {
            return Err(io::Error::other("no pipes"));
        };
        let mut asker = Self {
            questions,
            answers: BufReader::new(answers),
            process,
        };
        match asker.answer()?.as_str() {
            "ready" => Ok(asker),
            reason => Err(io::Error::other(reason)),
        }
    }

    /// The answer to a question, once it comes: the process must be one that always answers or ends.
    ///
    /// # Errors
    /// The process has ended.
    pub fn ask(&mut self, question: &str) -> io::Result<String> {
        writeln!(self.questions, "{question}")?;
        self.answer()
    }

    /// The same for an answer that is a whole number.
    ///
    /// # Errors
    /// As [`Asker::ask`]; the process answered something else, which is the error's text.
    pub fn ask_number(&mut self, question: &str) -> io::Result<u64> {
        let answer = self.ask(question)?;
        answer.parse().map_err(|_| io::Error::other(answer))
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Sends it a signal, which it sees before the next question.
    ///
    /// # Errors
    /// The process has ended.
    pub fn signal(&self, number: Signal) -> io::Result<()> {
        self.process.signal(number)
    }

    fn answer(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line)? {
            0 => Err(io::Error::other("the process ended")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

/// The side that is asked, on standard input and output; ends with its input, or after its first error.
///
/// # Errors
/// Nobody listens to the answers.
pub fn serve(answer: impl FnMut(&str) -> io::Result<String>) -> io::Result<()> {
    answer_all(io::stdin().lock(), io::stdout().lock(), answer)
}

/// The same when it never became ready.
///
/// # Errors
/// Nobody listens.
pub fn refuse(reason: &io::Error) -> io::Result<()> {
    say(&mut io::stdout().lock(), &reason.to_string())
}

/// [`serve`] on any pipes.
fn answer_all(
    questions: impl BufRead,
    mut answers: impl Write,
    mut answer: impl FnMut(&str) -> io::Result<String>,
) -> io::Result<()> {
    say(&mut answers, "ready")?;
    for question in questions.lines() {
        match answer(&question?) {
            Ok(line) => say(&mut answers, &line)?,
            Err(error) => return say(&mut answers, &error.to_string()),
        }
    }
    Ok(())
}

fn say(out: &mut impl Write, line: &str) -> io::Result<()> {
    writeln!(out, "{line}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_answered_until_one_fails() {
        let mut said = Vec::new();
        answer_all(&b"1\n2\n0\n3\n"[..], &mut said, |question| match question {
            "0" => Err(io::Error::other("no zeros")),
            other => Ok(format!("{other}!")),
        })
        .unwrap();
        assert_eq!(said, b"ready\n1!\n2!\nno zeros\n");
    }

    #[test]
    fn an_answer_that_is_no_number_is_the_error() {
        let script = "echo ready; while read -r line; do echo \"$line\"; done";
        let mut asker = Asker::open(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(asker.ask_number("34").unwrap(), 34);
        for answer in ["3 4", "", "out of memory", "-1"] {
            let error = asker.ask_number(answer).unwrap_err();
            assert_eq!(error.to_string(), answer);
        }
    }

    #[test]
    fn a_process_that_is_not_ready_says_why() {
        let refused = Asker::open(Command::new("sh").args(["-c", "echo no luck"]));
        assert_eq!(refused.unwrap_err().to_string(), "no luck");
        let silent = Asker::open(&mut Command::new("true"));
        assert_eq!(silent.unwrap_err().to_string(), "the process ended");
    }
}
