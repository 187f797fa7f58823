"""Backbones of keras-hub from their classes, small: no preset, no download.

Each has a Dense of ten units on every floating output, as whoever uses a backbone has
something there: what a backbone puts out would otherwise have to stay.
"""

import keras

TOKENS = 12
_RESNET = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 64, 64, 64],  # the first has to be 64
    "stackwise_num_blocks": [1, 2, 1, 1],
    "stackwise_num_strides": [1, 2, 2, 2],
    "block_type": "basic_block",
}
_RESNET_D = _RESNET | {
    "input_conv_filters": [16, 16, 64],
    "input_conv_kernel_sizes": [3, 3, 3],
    "block_type": "bottleneck_block_vd",
}
_CSPNET = {
    "stem_filters": 16,
    "stem_kernel_size": 3,
    "stem_strides": 1,
    "stackwise_depth": [1, 2, 2],
    "stackwise_strides": [2, 2, 2],
    "stackwise_num_filters": [32, 48, 64],
    "bottle_ratio": [0.5],
    "block_ratio": [0.5],
    "expand_ratio": [1.0],
}
_HGNET = {
    "depths": [1, 2, 1],
    "embedding_size": 16,
    "hidden_sizes": [32, 48, 64],
    "stem_channels": [3, 16, 16],
    "hidden_act": "relu",
    "stackwise_stage_filters": [
        (16, 16, 32, 1, 3, 3),
        (32, 24, 48, 2, 3, 3),
        (48, 32, 64, 1, 3, 5),
    ],
    "apply_downsample": [False, True, True],
    "use_lightweight_conv_block": [False, False, True],
}
_TRANSFORMER = {"num_layers": 2, "num_heads": 4, "hidden_dim": 32}
_VIT = _TRANSFORMER | {"patch_size": 16}
_TEXT = _TRANSFORMER | {"vocabulary_size": 50, "intermediate_dim": 64}
_LENGTH = {"max_sequence_length": 16}
_GROUPED = {
    "vocabulary_size": 50,
    "num_layers": 2,
    "num_query_heads": 4,
    "num_key_value_heads": 2,
    "hidden_dim": 32,
    "intermediate_dim": 64,
}
_MIT = {
    "num_layers": 3,
    "hidden_dims": [16, 32, 48],
    "layerwise_depths": [1, 2, 1],
    "layerwise_num_heads": [1, 2, 4],
    "layerwise_sr_ratios": [4, 2, 1],
    "layerwise_patch_sizes": [7, 3, 3],
    "layerwise_strides": [4, 2, 2],
    "max_drop_path_rate": 0.1,
}
_EFFICIENTNET = {
    "stackwise_kernel_sizes": [3, 5, 3],
    "stackwise_num_repeats": [1, 2, 2],
    "stackwise_input_filters": [16, 16, 24],
    "stackwise_output_filters": [16, 24, 40],
    "stackwise_expansion_ratios": [1, 4, 4],
    "stackwise_squeeze_and_excite_ratios": [0.25, 0.25, 0.25],
    "stackwise_strides": [1, 2, 2],
    "stackwise_width_coefficients": [1.0] * 3,
    "stackwise_depth_coefficients": [1.0] * 3,
    "num_features": 64,
}
_MOBILENET = {
    "stackwise_expansion": [[40, 56], [64, 144], [72, 72]],
    "stackwise_num_blocks": [2, 2, 2],
    "stackwise_num_filters": [[16, 16], [24, 24], [24, 24]],
    "stackwise_kernel_size": [[3, 3], [5, 5], [5, 5]],
    "stackwise_num_strides": [[2, 1], [2, 1], [1, 1]],
    "stackwise_se_ratio": [[None, None], [0.25, 0.25], [0.3, 0.3]],
    "stackwise_activation": [["relu"] * 2, ["hard_swish"] * 2, ["hard_swish"] * 2],
    "stackwise_padding": [[1, 1], [2, 2], [2, 2]],
    "output_num_filters": 96,
    "depthwise_filters": 8,
    "depthwise_stride": 2,
    "depthwise_residual": False,
    "last_layer_filter": 64,
    "squeeze_and_excite": 0.5,
}


def _mobilenet_v5():
    """Edge residuals, inverted bottlenecks, attention with shared keys.

    Its attention with keys of their own (`mha`) cannot be called on an open batch.
    """
    kinds = [["er", "er"], ["uir", "uir"], ["mqa", "uir", "mqa"]]
    per_block = {
        "stackwise_act_layers": "gelu",
        "stackwise_exp_ratios": 4.0,
        "stackwise_se_ratios": 0.0,
        "stackwise_dw_kernel_sizes": 3,
        "stackwise_dw_start_kernel_sizes": 3,
        "stackwise_dw_end_kernel_sizes": 0,
        "stackwise_exp_kernel_sizes": 3,
        "stackwise_pw_kernel_sizes": 1,
        "stackwise_num_heads": 4,
        "stackwise_key_dims": 8,
        "stackwise_value_dims": 8,
        "stackwise_kv_strides": 1,
        "stackwise_use_cpe": False,
    }
    repeated = {k: [[v] * len(s) for s in kinds] for k, v in per_block.items()}
    return {
        "stackwise_block_types": kinds,
        "stackwise_num_blocks": [len(s) for s in kinds],
        "stackwise_num_filters": [[16, 16], [24, 24], [32, 32, 32]],
        "stackwise_strides": [[2, 1], [2, 1], [1, 1, 1]],
        "num_features": 64,
        "use_msfa": False,
        "layer_scale_init_value": 0.1,
        **repeated,
    }


def _sam(models, size):
    from keras_hub import layers

    encoder = models.ViTDetBackbone(**_VIT_DET, image_shape=(size, size, 3))
    prompts = layers.SAMPromptEncoder(
        hidden_size=16,
        image_embedding_size=(size // 16, size // 16),
        input_image_size=(size, size),
        mask_in_channels=16,
    )
    masks = layers.SAMMaskDecoder(
        num_layers=1,
        hidden_size=16,
        intermediate_dim=32,
        num_heads=4,
        embedding_dim=16,
        num_multimask_outputs=3,
        iou_head_depth=2,
        iou_head_hidden_dim=16,
    )
    return models.SAMBackbone(encoder, prompts, masks)


_VIT_DET = {
    "hidden_size": 32,
    "num_layers": 2,
    "intermediate_dim": 64,
    "num_heads": 4,
    "global_attention_layer_indices": [1],
    "patch_size": 16,
    "num_output_channels": 16,
    "window_size": 2,
}
_DINO = _TRANSFORMER | {"patch_size": 16, "intermediate_dim": 64}
_DEPTH = {
    "reassemble_factors": [4, 2, 1, 0.5],
    "neck_hidden_dims": [8, 16, 24, 32],
    "fusion_hidden_dim": 32,
    "head_hidden_dim": 16,
    "head_in_index": -1,
    "feature_keys": ["stage1", "stage2", "stage3", "stage4"],
}


def _image(kind, **config):
    """Builds a class from its config and the shape of the images."""

    def build(models, size):
        return getattr(models, kind)(**config, image_shape=(size, size, 3))

    return build


def _efficientnet(**config):
    def build(models, size):
        return models.EfficientNetBackbone(
            **_EFFICIENTNET, **config, input_shape=(size, size, 3)
        )

    return build


def _shape(kind, size):
    asked = kind in ("RetinaNetBackbone", "DeepLabV3Backbone")
    return {"image_shape": (size, size, 3)} if asked else {}


def _on(kind, encoder, **config):
    """Builds a class around an image encoder."""

    def build(models, size):
        return getattr(models, kind)(
            image_encoder=encoder(models, size), **config, **_shape(kind, size)
        )

    return build


def _text(kind, **config):
    return lambda models, size: getattr(models, kind)(**config)


_resnet = _image("ResNetBackbone", **_RESNET)
_mit = _image("MiTBackbone", **_MIT)
BACKBONES = {
    "ResNet": _resnet,
    "ResNetV2": _image("ResNetBackbone", **_RESNET, use_pre_activation=True),
    "ResNetD": _image("ResNetBackbone", **_RESNET_D),
    "DenseNet": _image("DenseNetBackbone", stackwise_num_repeats=[2, 3, 2]),
    "EfficientNet": _efficientnet(stackwise_block_types=["v1"] * 3),
    "EfficientNetV2": _efficientnet(stackwise_block_types=["fused", "unfused", "v1"]),
    "EfficientNetLite": _efficientnet(stackwise_block_types=["cba", "v1", "v1"]),
    "MobileNet": _image("MobileNetBackbone", **_MOBILENET),
    "MobileNetV5": _image("MobileNetV5Backbone", **_mobilenet_v5()),
    "CSPNet": _image(
        "CSPNetBackbone", **_CSPNET, stage_type="csp", block_type="bottleneck_block"
    ),
    "CSPDarkNet": _image(
        "CSPNetBackbone", **_CSPNET, stage_type="cs3", block_type="dark_block"
    ),
    "HGNetV2": _image("HGNetV2Backbone", **_HGNET, use_learnable_affine_block=False),
    "HGNetV2 (affine)": _image(
        "HGNetV2Backbone", **_HGNET, use_learnable_affine_block=True
    ),
    "MiT": _mit,
    "SegFormer": _on("SegFormerBackbone", _mit, projection_filters=32),
    "ViT": _image("ViTBackbone", **_VIT, mlp_dim=64),
    "DeiT": _image("DeiTBackbone", **_VIT, intermediate_dim=64),
    "DINOV2": _image("DINOV2Backbone", **_DINO, position_embedding_shape=(64, 64)),
    "DINOV2 (SwiGLU)": _image(
        "DINOV2Backbone",
        **_DINO,
        position_embedding_shape=(96, 96),
        use_swiglu_ffn=True,
        num_register_tokens=2,
    ),
    "DINOV3": _image("DINOV3Backbone", **_DINO),
    "SwinTransformer": _image(
        "SwinTransformerBackbone",
        embed_dim=16,
        depths=(2, 2),
        num_heads=(2, 4),
        window_size=4,
    ),
    "VGG": _image(
        "VGGBackbone", stackwise_num_repeats=[1, 2], stackwise_num_filters=[16, 32]
    ),
    "Xception": _image(
        "XceptionBackbone",
        stackwise_conv_filters=[[16, 16], [32, 32], [32, 32]],
        stackwise_pooling=[False, True, False],
    ),
    "ViTDet": _image("ViTDetBackbone", **_VIT_DET),
    "SAM": _sam,
    "RetinaNet": _on(
        "RetinaNetBackbone", _resnet, min_level=3, max_level=5, use_p5=True
    ),
    "DeepLabV3": _on(
        "DeepLabV3Backbone",
        _resnet,
        spatial_pyramid_pooling_key="P5",
        low_level_feature_key="P2",
        upsampling_size=8,
        dilation_rates=[2, 4],
        projection_filters=8,
    ),
    "DepthAnything": _on(
        "DepthAnythingBackbone",
        _image(
            "DINOV2Backbone",
            **_DINO | {"num_layers": 4, "patch_size": 8},
            position_embedding_shape=(64, 64),
        ),
        **_DEPTH,
    ),
    "BERT": _text("BertBackbone", **_TEXT, **_LENGTH),
    "DistilBERT": _text("DistilBertBackbone", **_TEXT, **_LENGTH),
    "RoBERTa": _text("RobertaBackbone", **_TEXT, **_LENGTH),
    "ALBERT": _text("AlbertBackbone", **_TEXT, **_LENGTH, embedding_dim=16),
    "GPT-2": _text("GPT2Backbone", **_TEXT, **_LENGTH),
    "T5": _text("T5Backbone", **_TEXT),
    "Gemma": _text("GemmaBackbone", **_GROUPED, head_dim=8),
    "Gemma2": _text(
        "GemmaBackbone",
        **_GROUPED,
        head_dim=8,
        use_post_ffw_norm=True,
        use_post_attention_norm=True,
        attention_logit_soft_cap=50,
        final_logit_soft_cap=30,
        use_sliding_window_attention=True,
        sliding_window_size=8,
    ),
    "Gemma3": _text("Gemma3Backbone", **_GROUPED, head_dim=8, image_size=16),
    "Llama": _text("LlamaBackbone", **_GROUPED),
    "Qwen3": _text("Qwen3Backbone", **_GROUPED, head_dim=8),
}


def build(name, size):
    """Makes a backbone for RGB images of `size` pixels, or for texts of 12 tokens.

    Causal masks are made of the number of tokens, so it has to be known.
    """
    from keras_hub import models

    backbone = BACKBONES[name](models, size)
    inputs, outputs = backbone.input, backbone.output
    if any(None in x.shape[1:] for x in backbone.inputs):
        inputs = keras.tree.map_structure(_sized, inputs)
        outputs = backbone(inputs)
    heads = [
        keras.layers.Dense(10)(x)
        for x in keras.tree.flatten(outputs)
        if keras.backend.is_float_dtype(x.dtype)
    ]
    return keras.Model(inputs, heads, name=f"{backbone.name}_with_heads")


def _sized(x):
    shape = [n or TOKENS for n in x.shape[1:]]
    return keras.Input(shape, dtype=x.dtype, name=x.name)
