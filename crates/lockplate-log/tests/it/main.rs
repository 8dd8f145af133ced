//! Integration tests of the log crate; one binary. The modules are `cfg(test)` so that the lints know test code where they see it.
//!
//! Where the bad cases of `log.md` section 10 are:
//!
//! | Line | Tests |
//! |---|---|
//! | Note | `notes::malformed_notes_are_refused`, `notes::one_known_key_that_fails_spoils_the_note`, `policy::two_keys_of_one_id_are_refused` |
//! | Checkpoint | `notes::malformed_checkpoints_are_refused`, `notes::a_checkpoint_of_another_log_is_refused` |
//! | Tile path | `tiles::malformed_paths_are_refused`, `tiles::a_path_fits_a_tree_or_does_not` (level above the tree) |
//! | Tile, bundle | `tiles::tiles_are_exactly_their_width`, `tiles::bundles_are_exactly_their_leaves`, `view::verification_finds_every_altered_file_and_names_it` |
//! | Proofs | `merkle::bad_inclusion_proofs_are_refused`, `merkle::bad_consistency_proofs_are_refused`, `totality::malformed_receipts_are_refused` (64 lines), `view::a_view_says_what_the_log_says` (outside of the tree) |
//! | Witness | `witness::a_witness_refuses_in_the_order_of_its_checks`, `witness::the_time_of_a_cosigner_never_goes_back`, `witness::a_record_is_kept_before_anything_is_answered`, `witness::malformed_bodies_are_refused`; in `lockplate-store`: `witness_files::tests::requests_in_a_race_never_roll_the_record_back`, `crash_matrix` (kill between persist and answer) |
//! | Trust file | `policy::malformed_trust_files_are_refused_with_the_line`, `policy::every_bound_of_a_trust_file_is_met_and_not_passed` |
//! | Storage | here with a double: `crashes`, `log::a_head_replaced_under_the_process_stops_it`, `log::staging_of_another_root_is_deleted_and_forged_staging_refused`, `log::what_was_published_must_be_of_this_tree_and_not_ahead_of_it`, `log::an_altered_right_edge_or_last_bundle_stops_the_start`, `witness::an_old_copy_of_a_log_is_known_by_what_witnesses_have`; in `lockplate-store` on real files: `crash_matrix`, `log_files::tests` |
//! | Leaves | in `lockplate-core`: `entry` and `disclosure` |
#![allow(clippy::wildcard_enum_match_arm, reason = "tests match the one variant they are about")]

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod log;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod merkle;
#[cfg(test)]
mod notes;
#[cfg(test)]
mod other_peoples_log;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod tiles;
#[cfg(test)]
mod totality;
#[cfg(test)]
mod view;
#[cfg(test)]
mod witness;
