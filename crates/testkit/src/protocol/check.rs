//! The search.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::actions::{Action, enabled, next};
use super::bounds::Bounds;
use super::history::{Breach, History, Promise};
use super::rules::Rules;
use super::world::{Disk, Left, SECTIONS, World, Writer};

/// What a search has found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// States that were reached, the same one counted each time.
    pub states: usize,
    /// Different states.
    pub unique_states: usize,
    /// Actions of the longest path.
    pub depth: usize,
    /// The search came to its end in time.
    pub complete: bool,
    /// Of a power cut that may end in more ways than the bounds allow, a spread of them was looked at.
    pub sampled: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// A promise that is broken, and how.
    pub counterexample: Option<Counterexample>,
}

/// How a promise is broken.
#[derive(Debug, Clone)]
pub struct Counterexample {
    /// Which.
    pub breach: Breach,
    /// What happens, in order.
    pub actions: Vec<Action>,
    /// The state before each action, and at the end.
    states: Vec<String>,
}

impl Outcome {
    /// Whether all promises hold in all that there is within the bounds.
    pub fn holds(&self) -> bool {
        self.complete && !self.sampled && self.counterexample.is_none()
    }

    /// The promise that is broken, if any.
    pub fn promise(&self) -> Option<Promise> {
        self.counterexample.as_ref().map(|found| found.breach.promise)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, unique_states, depth, elapsed, .. } = self;
        let seconds = elapsed.as_secs_f64();
        write!(f, "{states} states, {unique_states} different, depth {depth}, {seconds:.1} s")?;
        match &self.counterexample {
            Some(found) => write!(f, "\n{found}"),
            None if !self.complete => f.write_str(": out of time"),
            None if self.sampled => f.write_str(": every promise holds in what was drawn"),
            None => f.write_str(": every promise holds"),
        }
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken: {}", self.breach)?;
        for (number, action) in self.actions.iter().enumerate() {
            writeln!(f, "{:3}. {action:?}", number + 1)?;
            if let Some(state) = self.states.get(number + 1) {
                writeln!(f, "{state}")?;
            }
        }
        Ok(())
    }
}

/// Goes through everything within the bounds, breadth first, with these rules kept, until a promise is broken or the time
/// is over. With one thread the counterexample is a shortest one.
pub fn check(bounds: Bounds, rules: Rules, threads: usize, limit: Duration) -> Outcome {
    let started = Instant::now();
    let model = Protocol {
        bounds,
        rules,
        end: started.checked_add(limit),
        out_of_time: AtomicBool::new(false),
        sampled: AtomicBool::new(false),
    };
    let search = model.checker().threads(threads.max(1)).finish_when(HasDiscoveries::Any).spawn_bfs().join();
    let found = search.discoveries().into_values().map(stateright::Path::into_vec);
    let found = found.filter_map(|steps| Some((steps.last()?.0.breach?, steps)));
    let counterexample = found.min_by_key(|(breach, steps)| (steps.len(), breach.promise)).map(|(breach, steps)| {
        let states = steps.iter().map(|(world, _)| world.to_string()).collect();
        let actions = steps.into_iter().filter_map(|(_, action)| action).collect();
        Counterexample { breach, actions, states }
    });
    Outcome {
        states: search.state_count(),
        unique_states: search.unique_state_count(),
        depth: search.max_depth(),
        complete: !search.model().out_of_time.load(Ordering::Relaxed),
        sampled: search.model().sampled.load(Ordering::Relaxed),
        elapsed: started.elapsed(),
        counterexample,
    }
}

/// The model.
struct Protocol {
    bounds: Bounds,
    rules: Rules,
    end: Option<Instant>,
    out_of_time: AtomicBool,
    sampled: AtomicBool,
}

/// One property for each promise.
macro_rules! properties {
    ($($promise:ident),+) => {
        vec![$(Property::always(Promise::$promise.name(), |_, world: &World| {
            world.breach.is_none_or(|breach| breach.promise != Promise::$promise)
        }),)+]
    };
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let disk = Disk::new();
        let state = super::cells::State { pruned_to: 0, clean: false, intent: None, user: 0 };
        let sections = [const { None }; SECTIONS];
        let writer = Writer { state, generation: 1, broken: false, held_from: None, sections };
        let Bounds { max_ops: ops, crashes, faults, rots, guests, .. } = self.bounds;
        vec![World {
            disk,
            writer: Some(writer),
            history: History::default(),
            left: Left { ops, crashes, faults, rots, guests },
            breach: None,
            refused: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if !enabled(world, &self.bounds, self.rules, actions) {
            self.sampled.store(true, Ordering::Relaxed);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        next(world, &self.bounds, self.rules, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties![Durable, Prefix, Intact, Told, NoFalseAlarm, Atomic, Shown]
    }

    fn within_boundary(&self, _: &World) -> bool {
        let over = self.end.is_some_and(|end| Instant::now() > end);
        if over {
            self.out_of_time.store(true, Ordering::Relaxed);
        }
        !over
    }
}
