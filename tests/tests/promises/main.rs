//! One module for each promise. They share one program, because linking is the expensive part.

mod administrator_policy_is_enforced;
mod agent_answers_on_local_socket;
mod broken_release_is_rolled_back;
mod catalogue_installs;
mod cloned_disk_is_quarantined;
mod every_machine_installs;
mod expired_certificate_is_renewed;
mod halted_deployment_is_not_installed;
mod hostile_local_user;
mod killed_agent_resumes;
mod killed_server_resumes;
mod local_user_rights;
mod mock_system_bus;
mod non_sharing_machine_is_bypassed;
mod offline_machine_catches_up;
mod publisher_keys_are_rotated;
mod restored_server_raises_epoch;
mod revoked_machine_is_excluded;
mod revoked_publisher_key_cannot_sign;
mod several_publishers_must_sign;
mod sideloaded_packages;
mod standalone_installs;
mod unproven_release_is_held_back;
mod user_schedule_is_enforced;
mod users_are_not_disturbed;
mod withdrawn_release_is_refused;
