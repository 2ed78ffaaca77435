//! One module for each promise. They share one program, because linking is the expensive part.

mod a_broken_release_is_rolled_back;
mod a_cloned_disk_is_set_aside;
mod a_hostile_local_user;
mod a_killed_agent_goes_on;
mod a_killed_server_loses_nothing;
mod a_late_machine_gets_it;
mod a_restored_server_starts_over;
mod a_revoked_key_signs_nothing;
mod a_revoked_machine_is_out;
mod a_withdrawn_release_is_refused;
mod an_old_laptop_comes_back;
mod everyone_gets_it;
mod getting_what_is_offered;
mod halted_means_not_installed;
mod keys_are_replaced;
mod others_go_round_it;
mod packages_by_hand;
mod packages_without_a_server;
mod people_are_not_disturbed;
mod several_publishers_sign;
mod system_bus;
mod the_agent_answers_on_its_machine;
mod the_policy_is_kept;
mod the_schedule_is_kept;
mod who_may_what_on_the_machine;
