use super::*;

const ONE: EpochId = EpochId([1; 16]);
const TWO: EpochId = EpochId([2; 16]);

fn keeper(place: u8) -> View {
    View {
        place,
        entity: format!("entity {place}"),
        ask: None,
        said: None,
        humans: 0,
        rejected: false,
        busy: false,
        down: false,
        evaluating: Evaluating::None,
    }
}

fn yes(by_human: bool, epochs: &[EpochId]) -> Option<Said> {
    Some(Said::Approved { by_human, epochs: epochs.to_vec(), policy: [5; 32] })
}

fn no(destroyed: bool) -> Option<Said> {
    Some(Said::Refused { destroyed })
}

fn three() -> Vec<View> {
    (1..=3).map(keeper).collect()
}

fn planned(keepers: &[View]) -> Plan {
    plan(&Case { t: 2, entities: 2, keepers, granted: None, expired: false, by_rule: false })
}

fn granted(keepers: &[View], epochs: &[EpochId]) -> Plan {
    plan(&Case { t: 2, entities: 2, keepers, granted: Some(epochs), expired: false, by_rule: false })
}

fn file(place: u8, ask: bool) -> Step {
    Step::File { place, ask }
}

#[test]
fn where_nobody_was_needed_last_time_all_are_asked_at_once_and_nobody_is_passed_over() {
    let again =
        |keepers: &[View]| plan(&Case { t: 2, entities: 2, keepers, granted: None, expired: false, by_rule: true });
    let mut keepers = three();
    assert_eq!(again(&keepers).steps, [file(1, true), file(2, true), file(3, true)]);
    keepers[0].busy = true;
    keepers[2].ask = Some(false);
    assert_eq!(again(&keepers).steps, [file(2, true), file(3, false)], "what was filed is filed again as it was");
    keepers[0].busy = false;
    keepers[0].said = no(false);
    assert_eq!(again(&keepers).steps, [file(2, true), file(3, false)]);
    // The rules ask for people after all: each that was asked with its human can still say yes.
    keepers = three();
    for keeper in &mut keepers {
        (keeper.ask, keeper.said, keeper.humans) = (Some(true), Some(Said::Waiting), 2);
    }
    assert_eq!(again(&keepers).state, DeskState::WaitingForHuman);
}

#[test]
fn one_keeper_is_asked_first_with_its_human_and_then_the_others_by_what_it_says() {
    let mut keepers = three();
    assert_eq!(planned(&keepers), Plan { state: DeskState::Filing, steps: vec![file(1, true)] });
    keepers[0].busy = true;
    keepers[0].ask = Some(true);
    assert_eq!(planned(&keepers).steps, []);
    keepers[0].busy = false;
    keepers[0].said = yes(false, &[ONE]);
    assert_eq!(planned(&keepers), Plan { state: DeskState::Filing, steps: vec![file(2, false), file(3, false)] });
    keepers[0].said = Some(Said::Waiting);
    keepers[0].humans = 1;
    let expected = vec![file(2, false), file(3, false), Step::Look { place: 1 }];
    assert_eq!(planned(&keepers), Plan { state: DeskState::WaitingForHuman, steps: expected });
    keepers[0].humans = 2;
    assert_eq!(planned(&keepers).steps[..2], [file(2, true), file(3, false)]);
}

#[test]
fn a_keeper_that_cannot_be_reached_is_passed_over_and_tried_again_with_the_same_bytes() {
    let mut keepers = three();
    (keepers[0].ask, keepers[0].busy, keepers[0].down) = (Some(true), true, true);
    assert_eq!(planned(&keepers), Plan { state: DeskState::Filing, steps: vec![file(2, true)] });
    keepers[1].ask = Some(true);
    keepers[1].said = Some(Said::Waiting);
    keepers[1].humans = 1;
    assert_eq!(planned(&keepers).steps, [file(3, false), Step::Look { place: 2 }]);
    keepers[0].busy = false;
    assert!(planned(&keepers).steps.contains(&file(1, true)));
    (keepers[2].busy, keepers[2].down) = (true, true);
    assert_eq!(planned(&keepers).state, DeskState::Unavailable);
}

#[test]
fn two_approvals_of_two_entities_over_common_epochs_make_a_grant() {
    let mut keepers = three();
    keepers[0].said = yes(false, &[ONE]);
    keepers[1].said = yes(false, &[TWO]);
    assert_eq!(planned(&keepers).steps, [file(3, false)], "no common epoch: the third may still help");
    keepers[2].said = yes(false, &[ONE, TWO]);
    let Plan { state, steps } = planned(&keepers);
    assert_eq!(state, DeskState::Granted);
    assert_eq!(steps, [Step::Grant { places: vec![1, 3], epochs: vec![ONE] }]);
    keepers[0].entity = keepers[2].entity.clone();
    assert_eq!(planned(&keepers).steps, [Step::Grant { places: vec![2, 3], epochs: vec![TWO] }]);
    keepers[1].said = Some(Said::Approved { by_human: false, epochs: vec![TWO], policy: [6; 32] });
    assert_eq!(planned(&keepers), Plan { state: DeskState::Refused, steps: vec![] });
}

#[test]
fn a_grant_that_would_leave_out_what_a_keeper_allows_waits_for_those_who_can_be_reached() {
    let mut keepers = three();
    keepers[0].said = yes(false, &[ONE, TWO]);
    keepers[2].said = yes(false, &[ONE]);
    keepers[1].busy = true;
    assert_eq!(planned(&keepers), Plan { state: DeskState::Filing, steps: vec![] });
    keepers[1].said = yes(false, &[ONE, TWO]);
    assert_eq!(planned(&keepers).steps, [Step::Grant { places: vec![1, 2], epochs: vec![ONE, TWO] }]);
    // Nobody waits for one that is away, or for a request that ends.
    keepers[1].said = None;
    let narrow = [Step::Grant { places: vec![1, 3], epochs: vec![ONE] }];
    keepers[1].down = true;
    assert_eq!(planned(&keepers).steps, narrow);
    keepers[1].down = false;
    let late = plan(&Case { t: 2, entities: 2, keepers: &keepers, granted: None, expired: true, by_rule: false });
    assert_eq!(late.steps, narrow);
}

#[test]
fn the_widest_pair_is_taken() {
    let mut keepers = three();
    keepers[0].said = yes(false, &[ONE]);
    keepers[1].said = yes(false, &[ONE, TWO]);
    keepers[2].said = yes(false, &[ONE, TWO]);
    assert_eq!(planned(&keepers).steps, [Step::Grant { places: vec![2, 3], epochs: vec![ONE, TWO] }]);
}

#[test]
fn a_human_is_waited_for_and_his_no_is_the_end() {
    let mut keepers = three();
    keepers[0].said = Some(Said::Waiting);
    keepers[0].humans = 1;
    keepers[1].said = yes(false, &[ONE]);
    keepers[2].said = yes(false, &[ONE]);
    assert_eq!(planned(&keepers), Plan { state: DeskState::WaitingForHuman, steps: vec![Step::Look { place: 1 }] });
    keepers[0].said = yes(true, &[ONE]);
    assert_eq!(planned(&keepers).steps, [Step::Grant { places: vec![1, 2], epochs: vec![ONE] }]);
    keepers[0].said = no(false);
    for keeper in &mut keepers {
        keeper.humans = 1;
    }
    assert_eq!(planned(&keepers), Plan { state: DeskState::Refused, steps: vec![] });
}

#[test]
fn refused_gone_and_unavailable_are_told_apart() {
    let mut keepers = three();
    keepers[0].said = no(false);
    assert_eq!(planned(&keepers), Plan { state: DeskState::Filing, steps: vec![file(2, true)] });
    keepers[1].said = no(false);
    assert_eq!(planned(&keepers).state, DeskState::Refused);
    assert_eq!(planned(&keepers).steps, [file(3, true)], "the third keeper's register shows the refusal too");
    (keepers[0].said, keepers[1].said) = (no(true), no(true));
    assert_eq!(planned(&keepers).state, DeskState::Gone);
    keepers[0].said = no(false);
    assert_eq!(planned(&keepers).state, DeskState::Refused);
    let mut keepers = three();
    for keeper in &mut keepers {
        (keeper.busy, keeper.down) = (true, true);
    }
    assert_eq!(planned(&keepers), Plan { state: DeskState::Unavailable, steps: vec![] });
    for keeper in &mut keepers {
        (keeper.busy, keeper.down, keeper.rejected) = (false, false, true);
    }
    assert_eq!(planned(&keepers), Plan { state: DeskState::Unavailable, steps: vec![] });
}

#[test]
fn t_keepers_are_shown_the_grant_and_another_where_one_fails() {
    let mut keepers = three();
    for keeper in &mut keepers {
        keeper.said = yes(false, &[ONE]);
    }
    let show = |place| Step::Evaluate { place };
    assert_eq!(granted(&keepers, &[ONE]), Plan { state: DeskState::Granted, steps: vec![show(1), show(2)] });
    (keepers[0].busy, keepers[1].busy) = (true, true);
    assert_eq!(granted(&keepers, &[ONE]).steps, []);
    keepers[0].down = true;
    assert_eq!(granted(&keepers, &[ONE]).steps, [show(3)]);
    (keepers[0].evaluating, keepers[1].evaluating) = (Evaluating::Wrong, Evaluating::Have);
    keepers[1].busy = false;
    assert_eq!(granted(&keepers, &[ONE]), Plan { state: DeskState::Granted, steps: vec![show(3)] });
    keepers[2].evaluating = Evaluating::Have;
    assert_eq!(granted(&keepers, &[ONE]), Plan { state: DeskState::Answered, steps: vec![] });
    keepers[2].evaluating = Evaluating::Wrong;
    assert_eq!(granted(&keepers, &[ONE]), Plan { state: DeskState::Unavailable, steps: vec![] });
    keepers[2].evaluating = Evaluating::Destroyed;
    assert_eq!(granted(&keepers, &[ONE]).state, DeskState::Gone);
    keepers[2].evaluating = Evaluating::Lapsed;
    assert_eq!(granted(&keepers, &[ONE]), Plan { state: DeskState::Refused, steps: vec![] });
}

#[test]
fn a_keeper_that_allows_less_is_not_shown_the_grant_and_a_late_one_is_asked() {
    let mut keepers = three();
    keepers[0].said = yes(false, &[ONE, TWO]);
    keepers[0].evaluating = Evaluating::Refused;
    keepers[1].said = yes(false, &[ONE, TWO]);
    assert_eq!(granted(&keepers, &[ONE, TWO]), Plan { state: DeskState::Granted, steps: vec![file(3, false)] });
    (keepers[2].down, keepers[2].busy) = (true, true);
    assert_eq!(granted(&keepers, &[ONE, TWO]), Plan { state: DeskState::Unavailable, steps: vec![] });
    (keepers[2].down, keepers[2].busy) = (false, false);
    keepers[2].said = yes(false, &[ONE]);
    assert_eq!(granted(&keepers, &[ONE, TWO]), Plan { state: DeskState::Unavailable, steps: vec![] });
    keepers[2].said = yes(false, &[ONE, TWO]);
    let show = |place| Step::Evaluate { place };
    assert_eq!(granted(&keepers, &[ONE, TWO]), Plan { state: DeskState::Granted, steps: vec![show(2), show(3)] });
}

#[test]
fn where_one_of_the_grant_went_away_a_keeper_that_was_never_asked_is_asked() {
    let mut keepers = three();
    keepers[0].said = yes(false, &[ONE]);
    keepers[0].evaluating = Evaluating::Have;
    keepers[1].said = yes(false, &[ONE]);
    (keepers[1].down, keepers[1].busy) = (true, true);
    assert_eq!(granted(&keepers, &[ONE]), Plan { state: DeskState::Granted, steps: vec![file(3, false)] });
    keepers[2].down = true;
    assert_eq!(granted(&keepers, &[ONE]), Plan { state: DeskState::Unavailable, steps: vec![file(3, false)] });
}

#[test]
fn nothing_is_done_for_a_request_past_its_time() {
    let mut keepers = three();
    let expired =
        |keepers: &[View], granted| plan(&Case { t: 2, entities: 2, keepers, granted, expired: true, by_rule: false });
    assert_eq!(expired(&keepers, None), Plan { state: DeskState::Unavailable, steps: vec![] });
    keepers[0].said = Some(Said::Waiting);
    keepers[1].said = yes(false, &[ONE]);
    assert_eq!(expired(&keepers, None).steps, []);
    keepers[0].said = yes(false, &[ONE]);
    assert_eq!(expired(&keepers, Some(&[ONE])), Plan { state: DeskState::Unavailable, steps: vec![] });
}
