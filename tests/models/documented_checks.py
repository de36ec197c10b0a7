"""The checks of the test suites that documentation of Hiera stands on: which test of ours holds
each, or why it says nothing about these models.

The suites are in the repository of ``transformers`` (not in its package): ``hiera`` is
``tests/models/hiera/test_modeling_hiera.py`` with the checks of ``ConfigTester`` that it calls,
``backbone`` is ``tests/test_backbone_common.py``, ``mixin`` is ``tests/test_modeling_common.py``
as of version 5. A check that one suite overrides is listed there only.

``docs`` are statements of the documentation's pages that no suite checks.
"""

from __future__ import annotations

FILES = "models/test_config_files.py"
STAGES = "models/test_stages_out.py"
OUTPUTS = "models/test_documented_outputs.py"
SURFACE = "models/test_documented_surface.py"
LOADING = "models/test_loading_options.py"
PARITY = "parity/test_transformers.py"
LOSSES = "parity/test_losses.py"
LAYOUTS = "models/test_layouts.py"

#: (suite, check) -> the tests of ours that hold it, "file::name", below ``tests``.
HELD: dict[tuple[str, str], list[str]] = {
    ("hiera", "test_config/to_json_string"): [f"{FILES}::test_given_values_are_in_the_string"],
    ("hiera", "test_config/to_json_file"): [f"{FILES}::test_round_trips"],
    ("hiera", "test_config/from_and_save_pretrained"): [f"{FILES}::test_round_trips"],
    ("hiera", "test_config/from_and_save_pretrained_subfolder"): [
        f"{FILES}::test_where_a_configuration_is"
    ],
    ("hiera", "test_config/with_num_labels"): [
        "models/test_config.py::test_labels_are_replaced_together"
    ],
    ("hiera", "test_config/init_without_params"): [f"{STAGES}::test_each_from_the_other"],
    ("hiera", "test_config/arguments_init"): [f"{FILES}::test_derived_properties"],
    ("hiera", "test_model_get_set_embeddings"): [f"{SURFACE}::test_embeddings"],
    ("hiera", "test_model_common_attributes"): [f"{SURFACE}::test_embeddings"],
    ("hiera", "test_attention_outputs"): [f"{OUTPUTS}::test_attentions"],
    ("hiera", "test_hidden_states_output"): [f"{OUTPUTS}::test_hidden_states"],
    ("hiera", "test_model_outputs_equivalence"): [
        f"{OUTPUTS}::test_tuples_hold_what_named_outputs_do"
    ],
    ("hiera", "test_model"): [f"{OUTPUTS}::test_sizes_of_outputs"],
    ("hiera", "test_backbone"): [f"{OUTPUTS}::test_backbones", f"{PARITY}::test_backbone"],
    ("hiera", "test_for_pretraining"): [
        f"{OUTPUTS}::test_sizes_of_outputs",
        f"{OUTPUTS}::test_grey_pixels",
    ],
    ("hiera", "test_for_image_classification"): [
        f"{OUTPUTS}::test_sizes_of_outputs",
        f"{OUTPUTS}::test_grey_pixels",
    ],
    ("hiera", "test_inference_interpolate_pos_encoding"): [f"{PARITY}::test_resized_positions"],
    ("backbone", "test_config"): [
        f"{STAGES}::test_each_from_the_other",
        f"{STAGES}::test_refusals",
        f"{STAGES}::test_resolved_as_in_transformers",
    ],
    ("backbone", "test_forward_signature"): [f"{OUTPUTS}::test_the_first_argument_is_the_pixels"],
    ("backbone", "test_channels"): [f"{OUTPUTS}::test_backbones"],
    ("backbone", "test_create_from_modified_config"): [f"{OUTPUTS}::test_backbones"],
    ("backbone", "test_backbone_common_attributes"): [f"{OUTPUTS}::test_backbones"],
    ("backbone", "test_backbone_outputs"): [
        f"{OUTPUTS}::test_sizes_of_outputs",
        f"{OUTPUTS}::test_hidden_states",
        f"{OUTPUTS}::test_attentions",
    ],
    ("mixin", "test_save_load"): [f"{SURFACE}::test_saved_models_give_the_same_outputs"],
    ("mixin", "test_from_pretrained_no_checkpoint"): [
        f"{SURFACE}::test_models_are_made_of_a_config_and_weights"
    ],
    ("mixin", "test_load_contiguous_weights"): [f"{SURFACE}::test_files_hold_each_tensor_once"],
    ("mixin", "test_gradient_checkpointing_enable_disable"): [
        f"{SURFACE}::test_gradient_checkpointing_is_told"
    ],
    ("mixin", "test_enable_input_require_grads"): [
        f"{SURFACE}::test_inputs_of_frozen_models_may_require_gradients"
    ],
    ("mixin", "test_enable_input_require_grads_with_gradient_checkpointing"): [
        f"{SURFACE}::test_inputs_of_frozen_models_may_require_gradients"
    ],
    ("mixin", "test_can_init_all_missing_weights"): [
        f"{LOADING}::test_sizes_that_do_not_match_start_anew_if_asked",
        "models/test_models.py::test_weights_start_as_those_of_the_official_package",
    ],
    ("mixin", "test_init_weights_can_init_buffers"): [
        f"{SURFACE}::test_models_are_made_of_a_config_and_weights"
    ],
    ("mixin", "test_all_tensors_are_parameter_or_buffer"): [
        f"{SURFACE}::test_models_are_made_of_a_config_and_weights"
    ],
    ("mixin", "test_torch_save_load"): [f"{LAYOUTS}::test_sharded_and_older_weight_files"],
    ("mixin", "test_determinism"): [f"{OUTPUTS}::test_the_same_input_gives_the_same_output"],
    ("mixin", "test_batching_equivalence"): [
        f"{OUTPUTS}::test_samples_do_not_depend_on_their_batch"
    ],
    ("mixin", "test_model_forward_default_config_values"): [
        f"{SURFACE}::test_a_difference_of_a_config_is_enough_for_a_model"
    ],
    ("mixin", "test_training"): [f"{SURFACE}::test_training_gives_every_parameter_a_gradient"],
    ("mixin", "test_training_gradient_checkpointing"): [
        f"{SURFACE}::test_training_gives_every_parameter_a_gradient",
        "models/test_models.py::test_gradient_checkpointing",
    ],
    ("mixin", "test_training_gradient_checkpointing_use_reentrant_false"): [
        f"{SURFACE}::test_training_gives_every_parameter_a_gradient"
    ],
    ("mixin", "test_model_main_input_name"): [f"{OUTPUTS}::test_the_first_argument_is_the_pixels"],
    ("mixin", "test_model_base_model_prefix"): [f"{SURFACE}::test_embeddings"],
    ("mixin", "test_correct_missing_keys"): [f"{SURFACE}::test_what_an_encoder_lacks_is_told"],
    ("mixin", "test_can_use_safetensors"): [f"{SURFACE}::test_files_hold_each_tensor_once"],
    ("mixin", "test_load_save_without_tied_weights"): [
        f"{SURFACE}::test_files_hold_each_tensor_once"
    ],
    ("mixin", "test_problem_types"): [
        f"{SURFACE}::test_every_problem_is_trained_without_a_warning",
        f"{LOSSES}::test_losses",
    ],
    ("mixin", "test_can_load_ignoring_mismatched_shapes"): [
        f"{LOADING}::test_sizes_that_do_not_match_start_anew_if_asked",
        f"{LOADING}::test_other_labels_are_told_as_of_another_shape",
    ],
    ("mixin", "test_model_is_small"): [f"{SURFACE}::test_models_of_tests_are_small"],
    ("mixin", "test_eager_matches_sdpa_inference"): [f"{PARITY}::test_all_outputs"],
    ("mixin", "test_torch_compile_for_training"): [
        "models/test_models.py::test_compiles_as_one_graph"
    ],
    ("mixin", "test_torch_export"): [
        "models/test_outputs.py::test_models_are_exported_for_batches_of_any_size"
    ],
    ("mixin", "test_can_be_initialized_on_meta"): [
        f"{SURFACE}::test_models_are_made_of_a_config_and_weights"
    ],
    ("mixin", "test_can_load_with_device_context_manager"): [
        f"{LOADING}::test_the_default_device_is_followed"
    ],
    ("mixin", "test_can_load_with_global_device_set"): [
        f"{LOADING}::test_the_default_device_is_followed"
    ],
    ("mixin", "test_cannot_load_with_meta_device_context_manager"): [
        f"{LOADING}::test_the_default_device_is_followed"
    ],
    ("mixin", "test_bc_torch_dtype"): [f"{LOADING}::test_types"],
    ("mixin", "test_reverse_loading_mapping"): [f"{LAYOUTS}::test_any_layout_from_any_other"],
    ("mixin", "test_can_load_from_already_mapped_keys"): [
        f"{LAYOUTS}::test_any_layout_from_any_other"
    ],
    ("docs", "hidden_size and stage_names of a config"): [f"{FILES}::test_derived_properties"],
    ("docs", "to_diff_dict holds what differs from defaults"): [
        f"{FILES}::test_a_difference_holds_what_that_of_transformers_does"
    ],
    ("docs", "from_pretrained(return_unused_kwargs=True)"): [
        f"{FILES}::test_overrides_and_what_is_no_field"
    ],
    ("docs", "num_labels == 1 is regression, else labels tell"): [f"{LOSSES}::test_losses"],
    ("docs", "num_parameters(only_trainable, exclude_embeddings)"): [
        f"{SURFACE}::test_as_many_parameters_as_in_transformers"
    ],
    ("docs", "forward_with_filtered_kwargs of backbones"): [f"{OUTPUTS}::test_backbones"],
    ("docs", "device and dtype"): [f"{SURFACE}::test_device_and_type"],
    ("docs", "from_pretrained(device_map)"): [f"{LOADING}::test_devices"],
    ("docs", "from_pretrained(subfolder, revision)"): [f"{LOADING}::test_where_files_are"],
    ("docs", "from_pretrained(output_loading_info=True)"): [
        f"{LOADING}::test_what_starts_anew_and_what_is_left_out",
        f"{LOADING}::test_nothing_differs",
    ],
}

_TOKENS = "about tables of text tokens, which a model of pixels does not have"
_TIED = "no two layers share a weight"
_KERNELS = "PyTorch chooses the attention kernel; no argument names one"
_ONE_DEVICE = "a model is on one device; `accelerate` shards training (tests/distributed)"
_PARTS = "no configuration holds another one"
_OTHER_INPUTS = "about models that have get_{text,image,audio,video}_features beside others"
_HUB = "needs published weights; parity is tested with random ones in both"

#: (suite, check) -> why it says nothing about these models.
NOT_APPLICABLE: dict[tuple[str, str], str] = {
    ("hiera", "test_feed_forward_chunking"): "skipped there too: Hiera has no chunks",
    ("hiera", "test_inputs_embeds"): "skipped there too: Hiera takes pixels only",
    ("hiera", "test_model_from_pretrained"): _HUB,
    ("hiera", "test_inference_image_classification_head"): _HUB,
    ("hiera", "test_inference_for_pretraining"): _HUB,
    ("mixin", "test_num_layers_is_small"): "about the sizes in that suite",
    ("mixin", "test_keep_in_fp32_modules_exist"): "no part asks for 32 bits",
    ("mixin", "test_keep_in_fp32_modules"): "no part asks for 32 bits",
    ("mixin", "test_save_load_keys_to_ignore_on_save"): "every weight is saved",
    ("mixin", "test_gradient_checkpointing_backward_compatibility"): (
        "a deprecated field of configurations that Hiera's never documented"
    ),
    ("mixin", "test_peft_gradient_checkpointing_enable_disable"): (
        "about a private flag that PEFT sets on a `PreTrainedModel`"
    ),
    ("mixin", "test_training_gradient_checkpointing_use_reentrant_true"): (
        "refused, in test_gradient_checkpointing_is_told: it loses gradients of inputs"
    ),
    ("mixin", "test_resize_position_vector_embeddings"): (
        "positions follow image_size, and are resized by it (tests/models/test_pretrained.py)"
    ),
    ("mixin", "test_resize_tokens_embeddings"): _TOKENS,
    ("mixin", "test_resize_tokens_embeddings_with_deepspeed"): _TOKENS,
    ("mixin", "test_resize_tokens_embeddings_with_deepspeed_multi_gpu"): _TOKENS,
    ("mixin", "test_resize_embeddings_untied"): _TOKENS,
    ("mixin", "test_resize_embeddings_untied_with_deepspeed"): _TOKENS,
    ("mixin", "test_resize_embeddings_untied_with_deepspeed_multi_gpu"): _TOKENS,
    ("mixin", "test_tied_weights_keys"): _TIED,
    ("mixin", "test_model_weights_reload_no_missing_tied_weights"): (
        f"{_TIED}; a file without weights of ours is refused, in {LOADING}"
    ),
    ("mixin", "test_inputs_embeds_matches_input_ids"): _TOKENS,
    ("mixin", "test_multi_gpu_data_parallel_forward"): (
        "about nn.DataParallel, which PyTorch advises against; several devices train with DDP "
        "(tests/distributed)"
    ),
    ("mixin", "test_disk_offload_bin"): _ONE_DEVICE,
    ("mixin", "test_disk_offload_safetensors"): _ONE_DEVICE,
    ("mixin", "test_cpu_offload"): _ONE_DEVICE,
    ("mixin", "test_model_parallelism"): _ONE_DEVICE,
    ("mixin", "test_tp_plan_matches_params"): _ONE_DEVICE,
    ("mixin", "test_load_with_mismatched_shapes"): (
        "runs classifiers of text only; that of images is test_can_load_ignoring_mismatched_shapes"
    ),
    ("mixin", "test_flash_attn_kernels_inference_equivalence"): _KERNELS,
    ("mixin", "test_flash_attn_kernels_mps_inference_equivalence"): _KERNELS,
    ("mixin", "test_flash_attn_2_inference_equivalence"): _KERNELS,
    ("mixin", "test_flash_attn_2_inference_equivalence_right_padding"): _KERNELS,
    ("mixin", "test_flash_attn_3_inference_equivalence"): _KERNELS,
    ("mixin", "test_flash_attn_3_inference_equivalence_right_padding"): _KERNELS,
    ("mixin", "test_flash_attn_2_can_dispatch_composite_models"): _KERNELS,
    ("mixin", "test_flash_attn_3_can_dispatch_composite_models"): _KERNELS,
    ("mixin", "test_flash_attn_2_fp32_ln"): _KERNELS,
    ("mixin", "test_flash_attn_2_can_compile_with_attention_mask_None_without_graph_break"): (
        _KERNELS
    ),
    ("mixin", "test_flash_attn_2_from_config"): _KERNELS,
    ("mixin", "test_flash_attn_3_from_config"): _KERNELS,
    ("mixin", "test_flex_attention_with_grads"): _KERNELS,
    ("mixin", "test_attn_implementation_composite_models"): _PARTS,
    ("mixin", "test_sdpa_can_dispatch_non_composite_models"): _KERNELS,
    ("mixin", "test_sdpa_can_dispatch_composite_models"): _PARTS,
    ("mixin", "test_sdpa_can_dispatch_on_flash"): _KERNELS,
    ("mixin", "test_sdpa_can_compile_dynamic"): _KERNELS,
    ("mixin", "test_config_attn_implementation_setter"): _KERNELS,
    ("mixin", "test_can_set_attention_dynamically"): _KERNELS,
    ("mixin", "test_can_set_attention_dynamically_composite_model"): _PARTS,
    ("mixin", "test_internal_model_config_and_subconfig_are_same"): _PARTS,
    ("mixin", "test_eager_matches_batched_and_grouped_inference"): "no mixture of experts",
    ("mixin", "test_sliding_window_mask"): "attention has mask units, no sliding window",
    ("mixin", "test_generation_tester_mixin_inheritance"): "about models that generate text",
    ("mixin", "test_capture_outputs_decorator"): "about how that library collects outputs",
    **{
        ("mixin", f"test_get_{kind}_features_{what}"): _OTHER_INPUTS
        for kind in ("text", "image", "audio", "video")
        for what in ("output", "hidden_states", "attentions")
    },
    ("docs", "prune_heads"): (
        "gone from version 5 of that library; a pruned stage would have no configuration, and "
        "head_mask leaves heads out"
    ),
}

#: (suite, check) -> what differs here, and why: neither held nor without meaning.
DIFFERENT: dict[tuple[str, str], str] = {
    ("mixin", "test_retain_grad_hidden_states_attentions"): (
        "hidden states and attentions that `forward` gives are copies in the documented order, "
        "beside the way to the output, so that a loss on the output leaves no gradient in them; a "
        "loss on them reaches the weights (test_losses_on_states_and_attentions_train)"
    ),
}
