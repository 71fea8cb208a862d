"""Which test holds which of forty inputs that people really had, reported of tools like this one, and their kinds.

A case is a situation and the smallest input of it; a kind is what its case is one of. Each case failed on v0.1.0.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent

READING = "tools/kit/test_argument_reading.py"
MESSAGES = "server/test_messages.py"
LINKS, PATHS = "tools/media/test_odd_links.py", "tools/media/test_odd_paths.py"
RESULTS, NATIVE = "tools/media/test_odd_results.py", "tools/media/test_native_files.py"
PICTURES, MASKS = "tools/media/test_odd_pictures.py", "tools/media/test_odd_masks.py"
SOUNDS = "tools/media/test_odd_sounds.py"
ANSWERS, CALLED, ENDINGS, SAID, VECTORS = (
    f"tools/text/test_odd_{name}.py" for name in ("answers", "tool_calls", "endings", "messages", "vectors")
)
BATCHES, TABLES = "tools/batches/test_odd_batches.py", "tools/batches/test_odd_tables.py"
ERRORS, ROWS = "tools/overview/test_odd_errors.py", "novita/core/test_errors.py"
AROUND, DOCTOR = "novita/core/network/test_surroundings.py", "server/commands/test_doctor.py"

CASES: dict[int, tuple[str, str, str]] = {
    1: ("null for an optional flag", READING, "test_every_tool_answers_as_if_blank_arguments_were_not_there"),
    2: ("blanks for what is not set", READING, "test_every_tool_answers_as_if_blank_arguments_were_not_there"),
    3: ("a blank that changes the model", READING, "test_a_blank_checkpoint_does_not_change_the_model"),
    4: ("null in chat", READING, "test_every_tool_answers_as_if_blank_arguments_were_not_there"),
    5: ("a prompt that is JSON", READING, "test_a_text_that_is_json_reaches_the_model_letter_for_letter"),
    6: ("half an emoji", MESSAGES, "test_half_an_emoji_in_an_argument_is_replaced_and_the_call_answered"),
    7: ("near spellings", READING, "test_arguments_are_read_as_their_schema_means_them"),
    8: ("a port that cannot be", LINKS, "test_a_malformed_link_is_a_clear_error_wherever_it_is_given"),
    9: ("a webhook that is none", LINKS, "test_a_malformed_link_is_a_clear_error_wherever_it_is_given"),
    10: ("the odd space of macOS", PATHS, "test_a_name_that_differs_only_in_what_the_eye_does_not_see_is_found"),
    11: ("save_to as a file address", PATHS, "test_save_to_understands_what_inputs_understand"),
    12: ("the form that answers teach", LINKS, "test_get_task_understands_the_form_that_answers_teach"),
    13: ("gone and expired", RESULTS, "test_what_is_gone_and_expired_is_said_to_be_gone"),
    14: ("a path in native input", NATIVE, "test_a_path_is_read_and_sent_as_the_field_takes_it"),
    15: ("a picture cut off", PICTURES, "test_a_picture_cut_off_is_refused_before_money"),
    16: ("a sound without a sound", SOUNDS, "test_a_sound_without_a_sound_is_refused_before_money"),
    17: ("a photo of an iPhone", PICTURES, "test_a_photo_of_an_iphone_is_converted"),
    18: ("a photo on its side", PICTURES, "test_a_photo_that_lies_on_its_side_is_sent_upright_without_its_tag"),
    19: (
        "a mask of another size",
        MASKS,
        "test_a_mask_of_another_shape_is_refused_with_both_sizes_or_stretched_on_request",
    ),
    20: ("a mask with a hole", MASKS, "test_every_kind_of_mask_marks_what_it_was_drawn_for"),
    21: ("voice notes", SOUNDS, "test_whatever_a_phone_or_a_messenger_writes_is_transcribed"),
    22: ("a film without a type", NATIVE, "test_an_uploaded_film_names_its_type"),
    23: ("success without the thing", RESULTS, "test_a_success_that_made_nothing_is_no_success"),
    24: ("an emoji in two chunks", ANSWERS, "test_the_process_lives_on_after_an_emoji_in_two_chunks"),
    25: ("two calls with one index", CALLED, "test_every_call_is_told_with_its_arguments"),
    26: ("arguments as an object", CALLED, "test_every_call_is_told_with_its_arguments"),
    27: ("an error beside choices", ENDINGS, "test_what_is_no_answer_is_no_success_and_says_why"),
    28: ("thoughts by another name", ANSWERS, "test_what_was_said_is_told_whole"),
    29: ("a tool turn without content", SAID, "test_messages_go_out_as_openai_takes_them"),
    30: ("an output file that is a page", BATCHES, "test_an_output_file_that_is_none_today_leaves_the_batch_open"),
    31: ("completed without a file", BATCHES, "test_completed_without_an_output_file_is_still_working"),
    32: ("one odd answer", BATCHES, "test_one_odd_row_costs_one_row_and_is_told_for_what_it_is"),
    33: ("all spent on thinking", BATCHES, "test_one_odd_row_costs_one_row_and_is_told_for_what_it_is"),
    34: ("a byte order mark", BATCHES, "test_every_row_is_found_however_its_file_is_written"),
    35: ("a large cell", TABLES, "test_a_large_cell_is_taken"),
    36: ("NaN in a row", TABLES, "test_a_number_that_is_none_is_refused_with_row_and_field"),
    37: ("one vector is NaN", VECTORS, "test_a_vector_that_is_none_costs_its_text_alone"),
    38: ("what goes on costing", ERRORS, "test_volumes_that_outlive_an_instance_are_named_with_what_they_cost"),
    39: ("a SOCKS proxy", AROUND, "test_a_socks_proxy_that_nobody_runs_is_named_and_nothing_is_billed"),
    40: ("a setting nobody filled in", PATHS, "test_a_key_that_nobody_filled_in_is_told_and_nothing_is_sent"),
}

KINDS: dict[int, tuple[str, list[tuple[str, str]]]] = {
    1: (
        "text that is no Unicode",
        [
            (MESSAGES, "test_half_an_emoji_anywhere_in_a_call_leaves_the_server_alive"),
            ("server/test_any_text.py", "test_any_text_in_any_argument_of_any_tool"),
            ("server/test_any_text.py", "test_any_text_in_any_field_of_any_answer_of_novita"),
            ("server/test_any_text.py", "test_a_value_of_another_type_in_any_field_of_any_answer_of_novita"),
        ],
    ),
    2: (
        "what nobody set",
        [
            (READING, "test_any_optional_argument_that_is_null_or_empty_is_as_if_it_were_not_there"),
            (READING, "test_a_blank_checkpoint_does_not_change_the_model"),
            (READING, "test_bounds_that_are_enforced_are_declared"),
        ],
    ),
    3: (
        "JSON as text",
        [
            (READING, "test_a_text_that_is_json_reaches_the_model_letter_for_letter"),
            (READING, "test_arguments_are_read_as_their_schema_means_them"),
            (READING, "test_a_number_that_a_host_made_of_a_text_is_the_text_again"),
        ],
    ),
    4: (
        "foreign text in answers",
        [
            ("tools/kit/test_answer_text.py", "test_whatever_the_values_only_our_fields_begin_a_line"),
            ("tools/kit/test_answer_text.py", "test_a_prompt_that_writes_fields_writes_none"),
            ("tools/kit/test_answer_text.py", "test_what_a_model_says_writes_no_fields"),
        ],
    ),
    5: (
        "answers of language models",
        [
            (ENDINGS, "test_a_usage_of_another_type_counts_and_one_that_is_none_is_estimated"),
            (ENDINGS, "test_an_error_with_200_is_an_error"),
            (SAID, "test_what_chat_answered_can_be_sent_back_as_it_is"),
        ],
    ),
    6: (
        "batches",
        [
            (BATCHES, "test_thoughts_are_apart_in_batch_answers_too"),
            (TABLES, "test_a_table_is_read_however_it_was_saved"),
            (TABLES, "test_rows_are_refused_where_chat_would_be"),
        ],
    ),
    7: (
        "vectors",
        [
            (VECTORS, "test_two_thousand_paid_vectors_survive_one_that_is_none"),
            (VECTORS, "test_documents_are_ranked_by_the_scores_that_are_numbers"),
        ],
    ),
    8: (
        "files as people have them",
        [
            (PICTURES, "test_a_data_uri_cut_after_400_letters_is_refused_before_money"),
            (PICTURES, "test_where_when_and_by_whom_a_photo_was_taken_is_not_sent"),
            (PICTURES, "test_a_huge_jpeg_is_refused_by_the_models_limit_or_decoded_small"),
            (SOUNDS, "test_a_long_recording_is_cut_at_silences_and_its_text_joined"),
        ],
    ),
    9: (
        "paths as people paste them",
        [
            (PATHS, "test_a_path_is_found_however_it_is_pasted"),
            (PATHS, "test_folders_in_settings_are_expanded_as_a_shell_does"),
            (PATHS, "test_a_key_is_read_without_what_was_pasted_around_it"),
        ],
    ),
    10: (
        "native input",
        [
            (NATIVE, "test_a_file_in_an_option_is_resolved_too"),
            (NATIVE, "test_recordings_of_a_form_are_file_parts_and_malformed_ones_are_refused"),
            (NATIVE, "test_a_link_that_cannot_be_is_refused_in_native_input_too"),
        ],
    ),
    11: (
        "links",
        [
            (LINKS, "test_a_malformed_file_address_and_a_malformed_page_are_clear_errors"),
            (RESULTS, "test_a_dead_link_is_not_billed_to_a_model_that_takes_only_links"),
        ],
    ),
    12: (
        "surroundings",
        [
            (AROUND, "test_what_no_proxy_covers_is_reached_whatever_else_it_names"),
            (AROUND, "test_certificates_that_are_not_there_are_named_once_they_are_needed"),
            (AROUND, "test_a_host_that_is_not_found_means_no_network"),
            ("novita/files/test_s3.py", "test_a_proxy_that_cannot_be_used_is_named"),
            (DOCTOR, "test_a_date_without_a_zone_or_two_of_them_is_read"),
            ("server/commands/test_cli.py", "test_simulate_asks_no_proxy_for_its_own_simulator"),
        ],
    ),
    13: (
        "spellings and names",
        [
            (READING, "test_an_unknown_argument_is_answered_with_the_one_that_is_meant"),
            (READING, "test_no_hint_is_better_than_one_that_misleads"),
            ("tools/kit/test_by_name.py", "test_a_machine_is_found_by_its_name"),
            ("tools/kit/test_by_name.py", "test_an_endpoint_is_found_by_its_name"),
            ("tools/kit/test_by_name.py", "test_a_volume_is_mounted_grown_and_deleted_by_its_name"),
            ("tools/kit/test_by_name.py", "test_a_template_is_found_by_its_name"),
            ("tools/account/test_admin.py", "test_members_and_keys_are_found_by_their_names"),
        ],
    ),
    14: (
        "faults of our own",
        [
            ("tools/kit/test_nothing_sent.py", "test_an_odd_value_in_all_arguments_is_told_in_clear_words"),
            ("tools/kit/test_nothing_sent.py", "test_an_odd_value_in_a_single_argument_is_told_in_clear_words"),
            ("tools/kit/test_bad_input.py", "test_a_fault_of_our_own_after_something_was_sent_may_have_cost"),
        ],
    ),
    15: (
        "errors that mislead",
        [
            (ERRORS, "test_every_documented_error_of_a_group_is_told_with_what_to_do"),
            (ERRORS, "test_why_a_task_could_not_be_asked_about_is_told"),
            (ERRORS, "test_an_id_stays_in_its_route"),
            (ROWS, "test_what_is_advised_can_be_done_with_this_server"),
        ],
    ),
}


@cache
def named_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))


def test_forty_cases_of_fifteen_kinds_are_held() -> None:
    assert sorted(CASES) == list(range(1, 41))
    assert sorted(KINDS) == list(range(1, 16))
    assert all(len(set(tests)) >= 2 for _, tests in KINDS.values())


@pytest.mark.parametrize("number", CASES)
def test_the_test_of_a_case_is_there(number: int) -> None:
    _, file, name = CASES[number]
    assert name in named_in(file)


@pytest.mark.parametrize("number", KINDS)
def test_the_tests_of_a_kind_are_there(number: int) -> None:
    for file, name in KINDS[number][1]:
        assert name in named_in(file), (file, name)
