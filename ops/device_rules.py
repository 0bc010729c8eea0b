"""Where a primitive runs when there are GPUs: one table, read by `placement`.

A primitive that is not named here runs on the device of its call: its inputs are copied there,
except those that state sizes, which stay on the host, and what it gives lies there.  The others
are named with the reason.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "HERE", "HOST", "HOST_INPUTS", "HOST_NAMES", "MADE", "RANDOM", "Rule", "rule_of",
]  # fmt: skip

HOST_NAMES = frozenset(
    """
    shape dims paddings multiples begin size end strides fft_length axes new_shape output_shape
    input_sizes filter_sizes orig_input_shape dense_shape input_shape reduction_axes a_shape
    b_shape sp_shape num_segments image_size crop_size output_dim0 nbins num_classes
    num_lower num_upper num_rows num_cols k shift num_samples orig_input_tensor_shape
    row_pooling_sequence
    col_pooling_sequence reduction_indices rcond l2_regularizer size rows columns
    pre_nms_topn min_size blocks start_size
""".split()
)
"""Inputs, by their names, that stay on the host: they decide about sizes."""

HOST_INPUTS: dict[str, frozenset[str]] = {
    "UnravelIndex": frozenset({"dims"}),
    "TensorListSplit": frozenset({"lengths"}),
    "MatrixDiagV3": frozenset({"k", "num_rows", "num_cols"}),
    "_SparseSlice": frozenset({"shape", "start", "size"}),
    "_Pinv": frozenset(),
    "RaggedTensorToTensor": frozenset({"splits"}),
    "_RaggedToDenseGrad": frozenset({"splits"}),
    "SparseToDense": frozenset({"sparse_indices", "output_shape"}),
    "_Repeat": frozenset({"repeats"}),
    "_RepeatGrad": frozenset({"repeats"}),
    "_CropRoom": frozenset({"have", "size"}),
    "_RandomInRange": frozenset({"low", "high"}),
}
"""The same where the name alone does not tell."""

HERE: dict[str, str] = {
    "reads a shape, not the elements": "Shape Size",
    "the variable's value stays where it is": "ReadVariableOp AssignVariableOp",
    "its graphs' calls are placed one by one": """
        If StatelessIf Case StatelessCase While StatelessWhile _CheckingIf _CheckingCase
        _CheckingWhile _RandomIf _RandomCase _RandomWhile _IfBlock _WhileBlock _CustomGradient
        _CustomGradientStateful _Looped Placeholder Const""",
    "a list of tensors, each where it is": """
        TensorListConcatV2 TensorListFromTensor TensorListGather TensorListGetItem
        TensorListLength TensorListPopBack TensorListPushBack TensorListReserve TensorListResize
        TensorListScatterIntoExistingList TensorListSetItem TensorListSplit TensorListStack
        _TensorListAdd _TensorListClear _TensorListConcatLike _TensorListGatherLike
        _TensorListGetLike _TensorListPopBackLike _TensorListStackLike _TensorListZerosLike""",
    "the user's Python function gets the tensors as they are": """
        EagerPyFunc _EagerPyFuncGrad""",
    "replicas meet with their arrays, each where it is": """
        _ReplicaAllReduce _StartReduction _FinishReduction _ReplicaAllGather _ReplicaOwnPart
        _ReplicaBroadcast _ReplicaId _ReplicaBatchShare _ReplicaShareOwned""",
}
"""Reason -> primitives whose array form takes arrays wherever they lie; nothing is copied."""

RANDOM = "counter-based random numbers, made on the host where no kernel makes them"

MADE: dict[str, str] = {
    RANDOM: """
        RandomStandardNormal RandomUniform TruncatedNormal _RandomBits RandomGamma
        RandomPoissonV2 RandomShuffle Multinomial StatelessMultinomial
        StatelessParameterizedTruncatedNormal StatelessRandomBinomial StatelessRandomGammaV2
        StatelessRandomNormal StatelessRandomPoisson StatelessRandomUniform
        StatelessTruncatedNormal RandomIndexShuffle RandomGammaGrad
        _StatefulRandom _StatelessBits _RandomStandardNormalBlock _RandomUniformBlock
        _StatelessRandomNormalRows _StatelessRandomUniformRows _StatelessTruncatedNormalRows
        _TruncatedNormalBlock __RandomBitsBlock __StatelessBitsRows _MultinomialBlock
        _RandomGammaBlock _RandomPoissonV2Block _RandomShuffleBlock""",
    "its ends decide about its size": "Range LinSpace RaggedRange",
}
"""Reason -> primitives that run on the host; their results are copied to the call's device."""

HOST: dict[str, str] = {
    "strings lie on the host": """
        AsString DecodeBase64 EncodeBase64 DecodeCompressed DecodeRaw ReduceJoin RegexFullMatch
        RegexReplace StaticRegexFullMatch StaticRegexReplace StringFormat StringJoin
        StringLength StringLower StringNGrams StringSplitV2 StringStrip StringToHashBucket
        StringToHashBucketFast StringToHashBucketStrong StringToNumber StringUpper Substr
        UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode UnicodeScript UnicodeTranscode
        UnsortedSegmentJoin Fingerprint _BytesSplit _NGramRows _PaddedTokens _StringSplitRows
        _UnicodeEncodeRows _UnicodeSplit _UnicodeSplitRows _FeatureCross _CrossHashed""",
    "codecs of images and sound run on the host": """
        DecodeAndCropJpeg DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePng DecodeWav
        DecodeWebP EncodeJpeg EncodeJpegVariableQuality EncodePng EncodeWav ExtractJpegShape""",
    "hash tables lie on the host": """
        LookupTableExportV2 LookupTableFindV2 LookupTableImportV2 LookupTableInsertV2
        LookupTableRemoveV2 LookupTableSizeV2 _StaticTableFind _KnownOnly""",
    "what is checked or printed is read on the host": "Assert PrintV2",
    "a Python function of NumPy arrays": "PyFunc",
    "sets and samples of classes are Python objects": """
        AllCandidateSampler ComputeAccidentalHits FixedUnigramCandidateSampler
        LearnedUnigramCandidateSampler LogUniformCandidateSampler
        ThreadUnsafeUnigramCandidateSampler UniformCandidateSampler DenseToDenseSetOperation
        DenseToSparseSetOperation SparseToSparseSetOperation SetSize EditDistance""",
    "LAPACK's own routines, or a loop over rows": """
        Lu TridiagonalSolve TridiagonalMatMul BandedTriangularSolve MatrixExponential
        MatrixLogarithm MatrixSquareRoot IsotonicRegression _BlockMeans IgammaGradA FresnelSin
        FresnelCos Dawsn Spence CTCBeamSearchDecoder CTCGreedyDecoder CTCLoss _DenseCTCLoss
        _CTCMergedPlaces _CTCUniqueLabels _CollapseRepeated ApproxTopK Eig""",
    "no atomic product": "SegmentProd UnsortedSegmentProd",
    "positions of ragged and sparse values are worked out on the host": """
        _RowIds _RowIndices _RowSlices _LengthsToSplits _MaskedLengths _PaddedLengths
        _RaggedPlaces _SplitsOfIds _RaggedRowCounts _RowCounts _WeightedRowCounts
        _BoundingShape _CountSparseOutput _FillEmptyRows _SparseConcat _SparseOrder
        _SparseSlice _Indicator SparseAdd SparseAddGrad SparseReduceMax SparseReduceMaxSparse
        SparseReduceSum SparseReduceSumSparse SparseReshape SparseSoftmax SparseSparseMaximum
        SparseSparseMinimum SparseTensorDenseAdd SparseTensorDenseMatMul _SparseRowSums
        Unique UniqueWithCounts""",
    "boxes and places in images are gone through one after the other": """
        CombinedNonMaxSuppression NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3
        NonMaxSuppressionV4 NonMaxSuppressionV5 NonMaxSuppressionWithOverlaps
        _NonMaxSuppressionBatch GenerateBoundingBoxProposals DrawBoundingBoxes
        DrawBoundingBoxesV2 ExtractGlimpse ExtractGlimpseV2 FractionalAvgPool
        FractionalAvgPoolGrad FractionalMaxPool FractionalMaxPoolGrad _FractionalPick
        ImageProjectiveTransformV3""",
    "files and records are read on the host": """
        ReadFile WriteFile MatchingFiles ParseExampleBlock ParseExampleV2
        ParseSequenceExampleV2 ParseTensor DecodeJSONExample _DecodeCSV SerializeTensor
        SerializeSparse SerializeManySparse DeserializeSparse DeserializeManySparse""",
    "sizes of images and boxes, a few numbers": """
        BroadcastArgs SampleDistortedBoundingBox SampleDistortedBoundingBoxV2
        StatelessSampleDistortedBoundingBox _CropRoom SobolSample InvertPermutation""",
}
"""Reason -> primitives that run on the host and whose results stay there."""


class Rule(NamedTuple):
    """Where a primitive runs.

    Attributes:
        kind: "device", "here", "made" or "host".
        host: names of the inputs that stay on the host; None for the usual ones.
        reason: why it is not "device".
    """

    kind: str
    host: frozenset[str] | None = None
    reason: str = ""

    def host_inputs(self, names: list[str]) -> frozenset[int]:
        """Which of the inputs called `names` stay on the host."""
        kept = HOST_NAMES if self.host is None else self.host
        return frozenset(i for i, name in enumerate(names) if name in kept)


def _table() -> dict[str, Rule]:
    found = {name: Rule("device", names) for name, names in HOST_INPUTS.items()}
    for kind, groups in (("here", HERE), ("made", MADE), ("host", HOST)):
        for reason, names in groups.items():
            for name in names.split():
                found[name] = Rule(kind, found.get(name, _USUAL).host, reason)
    return found


_USUAL = Rule("device")
_RULES = _table()


def rule_of(name: str) -> Rule:
    """Where the primitive called `name` runs."""
    return _RULES.get(name, _USUAL)
