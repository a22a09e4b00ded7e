// swift-tools-version: 6.2
import PackageDescription

/// What every Swift target is compiled with: warnings are errors, and imports are private unless said otherwise.
let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

/// Kernels are optimised in debug builds too (the last -O wins). No -ffast-math: NaN checks must stay. Contraction off, so that
/// a fused multiply-add is there only where the code asks for one.
let kernelFlags: [CSetting] = [
    .unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-Werror"])
]
let shimFlags: [CSetting] = [.unsafeFlags(["-O2", "-Wall", "-Wextra", "-Werror"])]

func library(_ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource] = []) -> Target {
    .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}

/// Tests are not optimised in release builds either (the last -O wins): that would take the compiler longer than it saves.
/// Their long loops are in TestSupport, which is optimised.
func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, resources: resources,
        swiftSettings: strict + [.unsafeFlags(["-Onone"], .when(configuration: .release))])
}

/// Targets to leave out of the build, with commas between them: deploy/test.sh says which, and why.
let leftOut = Set((Context.environment["PATCHLOOM_TARGETS_LEFT_OUT"] ?? "").split(separator: ",").map(String.init))

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let targets: [Target] = [
    // C: system libraries behind one module each, and our own kernels.
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
    .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(
        name: "CFontconfig", pkgConfig: "fontconfig", providers: [.apt(["libfontconfig-dev", "libfreetype-dev"])]),
    .target(name: "COneDNN", cSettings: shimFlags, linkerSettings: [.linkedLibrary("dnnl")]),
    .target(name: "CPNG", cSettings: shimFlags, linkerSettings: [.linkedLibrary("png16")]),
    .target(name: "CJPEG", cSettings: shimFlags, linkerSettings: [.linkedLibrary("jpeg")]),
    .target(name: "CWebP", cSettings: shimFlags, linkerSettings: [.linkedLibrary("webp"), .linkedLibrary("webpdemux")]),
    .target(name: "CGlyphs", dependencies: ["CFontconfig"], cSettings: shimFlags),
    .target(name: "CSystem", cSettings: shimFlags, linkerSettings: [.linkedLibrary("gomp")]),
    // The templates are included by the sources, once for each instruction set, and are none themselves.
    .target(
        name: "CKernels", dependencies: ["COneDNN"], exclude: ["templates"], cSettings: kernelFlags,
        linkerSettings: [.linkedLibrary("m")]),
    .target(
        name: "CEmbeddedModel", exclude: ["model", "clip"],
        cSettings: [.unsafeFlags(["-Wno-c23-extensions", "-Wall", "-Wextra", "-Werror"])]),

    // Leaves.
    library("FileLinks"),
    library("StrictJSON"),
    library("Sentences"),
    library("ContentHash", ["COpenSSL"]),
    library("FileSignatures"),
    library("RandomStreams"),
    library("Cluster", ["Sentences"]),
    library("ImageQuality"),
    library("Places"),
    library("ScratchFiles", ["CSystem", "Sentences"]),
    library("Acceleration", ["RandomStreams"]),
    library("EmbeddedModel", ["CEmbeddedModel"]),

    // Computing.
    library("TensorCore", ["CKernels", "COneDNN", "COpenBLAS", "CSystem"]),
    library(
        "Weights",
        [
            "Acceleration", "ContentHash", "CSystem", "EmbeddedModel", "FileLinks", "FileSignatures", "Sentences",
            "StrictJSON", "TensorCore",
        ]),
    library("DiffusionModels", ["TensorCore", "Weights", "Acceleration", "ScratchFiles", "Sentences", "StrictJSON"]),
    library("Samplers", ["StrictJSON"]),
    library("PatchGeometry", ["RandomStreams"]),
    library("Resampling"),
    library("ImageConditioning", ["Samplers"]),
    library("Tokenizing", ["StrictJSON"]),
    library("Prompting", ["Tokenizing"]),
    library(
        "Rendering",
        [
            "Acceleration", "ContentHash", "DiffusionModels", "EmbeddedModel", "ImageConditioning", "PatchGeometry",
            "Places", "Prompting", "RandomStreams", "Resampling", "Samplers", "ScratchFiles", "Sentences", "StrictJSON",
            "TensorCore", "Tokenizing", "Weights",
        ]),

    library(
        "MethodComparison", ["Acceleration", "DiffusionModels", "ImageQuality", "PatchGeometry", "Rendering", "TensorCore"]),

    // Moving bytes.
    library("Messages", ["CSystem", "Places", "Sentences", "StrictJSON"]),
    library("ZMQSockets", ["CZeroMQ"]),
    library(
        "ImageFiles", ["CJPEG", "CPNG", "CSystem", "CWebP", "FileLinks", "FileSignatures", "ScratchFiles", "Sentences"]),
    library("ContactSheets", ["CGlyphs", "ImageFiles", "ImageQuality", "Resampling"]),
    library(
        "Runtime",
        [
            "Cluster", "ContentHash", "CSystem", "ImageFiles", "Messages", "Places", "Rendering", "ScratchFiles",
            "Sentences", "StrictJSON", "TensorCore", "Weights", "ZMQSockets",
        ]),

    // What users ask for, whichever way their words come.
    library(
        "Requests",
        [
            "ImageConditioning", "ImageFiles", "Rendering", "Resampling", "Sentences", "StrictJSON", "Weights",
        ]),

    // Programs.
    library(
        "GoldenCases",
        [
            "Acceleration", "ContentHash", "DiffusionModels", "EmbeddedModel", "ImageConditioning", "PatchGeometry",
            "RandomStreams", "Rendering", "Samplers", "StrictJSON", "TensorCore", "Tokenizing", "Weights",
        ], resources: [.copy("Records/bf16-records.json")]),
    // What the programs with patchloom's commands share.
    library(
        "CommandSupport",
        [
            "Acceleration", "CSystem", "ImageFiles", "Places", "Rendering", "Requests", "Runtime", "Samplers", "Sentences",
            "TensorCore", "Weights", argumentParser,
        ]),
    // A worker on a cluster is this program, so it links nothing that draws text.
    .executableTarget(
        name: "patchloom",
        dependencies: [
            "CommandSupport", "ContentHash", "CSystem", "ImageFiles", "Rendering", "Requests", "Runtime", "Sentences",
            "StrictJSON", "TensorCore", "Weights", argumentParser,
        ],
        swiftSettings: strict),
    // `patchloom compare` starts it.
    .executableTarget(
        name: "patchloom-compare",
        dependencies: [
            "CommandSupport", "ContactSheets", "ContentHash", "ImageFiles", "ImageQuality", "MethodComparison", "Rendering",
            "Requests", "Runtime", "Samplers", "Sentences", "TensorCore", "Weights", argumentParser,
        ],
        swiftSettings: strict),
    .executableTarget(
        name: "patchloom-bench",
        dependencies: [
            "Acceleration", "ContentHash", "DiffusionModels", "ImageFiles", "ImageQuality", "Messages", "MethodComparison",
            "Places", "Rendering", "StrictJSON", "TensorCore", "Weights", "ZMQSockets", argumentParser,
        ],
        swiftSettings: strict),
    .executableTarget(
        name: "goldencheck", dependencies: ["GoldenCases", "StrictJSON", "TensorCore", argumentParser],
        swiftSettings: strict),

    // Tests. What makes their numbers and files is optimised in debug builds too.
    .target(
        name: "TestSupport", dependencies: ["Messages", "Sentences", "TensorCore", "StrictJSON", "Weights"],
        path: "Tests/TestSupport",
        resources: [.copy("Fixtures")],
        swiftSettings: strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]),
    tests("StrictJSONTests", ["StrictJSON", "TestSupport"]),
    tests("RandomStreamsTests", ["RandomStreams"]),
    tests("ContentHashTests", ["ContentHash"]),
    tests("FileSignaturesTests", ["FileSignatures"]),
    tests("TensorCoreTests", ["TensorCore", "CKernels", "TestSupport"]),
    tests(
        "WeightsTests",
        ["Weights", "ContentHash", "EmbeddedModel", "Sentences", "TensorCore", "StrictJSON", "TestSupport", "Tokenizing"]),
    tests("TokenizingTests", ["Tokenizing", "StrictJSON", "Weights", "TestSupport"]),
    tests("PromptingTests", ["Prompting", "StrictJSON", "Tokenizing", "TestSupport"]),
    tests("SamplersTests", ["Samplers", "StrictJSON", "TestSupport"]),
    tests("PatchGeometryTests", ["PatchGeometry", "RandomStreams", "TestSupport"]),
    tests(
        "ImageConditioningTests",
        ["ImageConditioning", "Samplers", "StrictJSON"]),
    tests("AccelerationTests", ["Acceleration", "RandomStreams", "StrictJSON", "TestSupport"]),
    tests(
        "DiffusionModelsTests",
        [
            "DiffusionModels", "Acceleration", "EmbeddedModel", "RandomStreams", "Sentences", "TensorCore", "Weights",
            "StrictJSON", "TestSupport",
        ]),
    tests(
        "RenderingTests",
        [
            "Acceleration", "ContentHash", "DiffusionModels", "EmbeddedModel", "ImageConditioning", "PatchGeometry",
            "Places", "Prompting", "RandomStreams", "Rendering", "Resampling", "Samplers", "Sentences",
            "StrictJSON", "TensorCore", "TestSupport", "Weights",
        ]),
    tests(
        "MethodComparisonTests",
        ["Acceleration", "ImageQuality", "MethodComparison", "PatchGeometry", "Rendering", "TestSupport", "Weights"]),
    tests("ClusterTests", ["Cluster", "Sentences", "TestSupport"]),
    tests("MessagesTests", ["CSystem", "Messages", "Places", "Sentences", "StrictJSON", "TestSupport"]),
    tests("ZMQSocketsTests", ["ZMQSockets", "TestSupport"]),
    tests("ResamplingTests", ["Resampling"]),
    tests("ScratchFilesTests", ["ScratchFiles", "Sentences"]),
    tests("ImageFilesTests", ["ImageFiles", "TestSupport"]),
    tests("ContactSheetsTests", ["ContactSheets", "ImageFiles", "ImageQuality", "TestSupport"]),
    tests("ImageQualityTests", ["ImageFiles", "ImageQuality", "TestSupport"], resources: [.copy("Thumbnails")]),
    tests(
        "RuntimeTests",
        [
            "Acceleration", "Runtime", "Cluster", "ContentHash", "ImageFiles", "Messages", "Places", "Rendering",
            "Sentences", "StrictJSON", "TensorCore", "Weights", "ZMQSockets", "TestSupport",
        ]),
    tests(
        "RequestsTests",
        [
            "Acceleration", "PatchGeometry", "Rendering", "Requests", "Samplers", "Sentences", "StrictJSON", "TestSupport",
            "Weights",
        ]),
    tests("GoldenCasesTests", ["ContentHash", "GoldenCases", "Rendering", "TensorCore", "TestSupport"]),
    tests(
        "CommandSupportTests",
        ["CommandSupport", "Rendering", "Requests", "Sentences", "TensorCore", "TestSupport", "Weights", argumentParser]),
    tests("EndToEndTests", ["ContentHash", "CSystem", "ImageFiles", "StrictJSON", "TestSupport"]),
    tests("RepositoryTests", ["TestSupport"]),
]

for name in leftOut where !targets.contains(where: { $0.name == name }) {
    fatalError("PATCHLOOM_TARGETS_LEFT_OUT: there is no target '\(name)'.")
}

let package = Package(
    name: "patchloom",
    products: ["patchloom", "patchloom-compare", "patchloom-bench", "goldencheck"].filter { !leftOut.contains($0) }.map {
        .executable(name: $0, targets: [$0])
    },
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2")
    ],
    targets: targets.filter { !leftOut.contains($0.name) },
    swiftLanguageModes: [.v6]
)
