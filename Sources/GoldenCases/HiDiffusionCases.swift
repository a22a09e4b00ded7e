import Acceleration
import DiffusionModels
import StrictJSON
import TensorCore

/// HiDiffusion's operators, one block and one U-Net call.
enum HiDiffusionCases {
    static func operators(_ run: CaseRun) throws {
        let name = try run.parameters.string("op")
        switch name {
        case "avg_pool_2x2_ceil": run.produce(image: "y", run.context.averagePool2x2(try run.image("x")))
        case "rad_conv": try dilatedConvolution(run)
        case "resize": try resize(run)
        default: throw GoldenError.failed("the operator \"\(name)\" is not known")
        }
    }

    private static func dilatedConvolution(_ run: CaseRun) throws {
        let x = try run.image("x")
        let weight = try run.tensor("weight", [nil, x.shape[3], 3, 3])
        let bias = try run.tensor("bias", [weight.shape[0]])
        let packed = try run.context.packConvolution(weight: weight, bias: bias)
        run.produce(image: "plain", try run.context.convolution(x, packed, stride: 2))
        run.produce(
            image: "rad", try run.context.convolution(x, packed, stride: 4, padding: Padding(2), dilation: 2))
    }

    /// Every expected tensor names its operator and size, `bicubic_14x20`; `back` takes the pooled map to the size of x.
    private static func resize(_ run: CaseRun) throws {
        let (x, pooled) = (try run.image("x"), try run.image("pooled"))
        for name in run.golden.expected.tensors.keys {
            if name == "back" {
                run.produce(image: name, run.context.resizeBicubic(pooled, height: x.shape[1], width: x.shape[2]))
                continue
            }
            let parts = name.split(separator: "_")
            let sides = parts.last?.split(separator: "x").compactMap { Int($0) } ?? []
            guard parts.count == 2, sides.count == 2, sides.allSatisfy({ (1...4096).contains($0) }) else {
                throw GoldenError.failed("\(name) names no operator and size")
            }
            switch parts[0] {
            case "bicubic": run.produce(image: name, run.context.resizeBicubic(x, height: sides[0], width: sides[1]))
            case "nearest": run.produce(image: name, run.context.resizeNearest(x, height: sides[0], width: sides[1]))
            default: throw GoldenError.failed("\(name) names no operator that is known")
            }
        }
    }

    static func block(_ run: CaseRun) throws {
        let unet = try run.model().unet()
        let grid = try run.parameters.integers("grid")
        guard grid.count == 2, grid.allSatisfy({ (1...4096).contains($0) }) else {
            throw GoldenError.failed("\"grid\" must be height and width")
        }
        let shift = try run.parameters.integer("shift", in: 0...3)
        let tokens = try run.tensor("hidden_states", [nil, grid[0] * grid[1], nil])
        let (n, c) = (tokens.shape[0], tokens.shape[2])
        let text = try run.tensor("encoder_hidden_states", [n, nil, unet.configuration.textWidth])
        let normed = try run.tensor("norm1_output", [n, grid[0] * grid[1], c])
        let windows = WindowGeometry(height: grid[0], width: grid[1], shift: shift)
        let split = windows.split(normed, run.context)
        run.produce(plain: "windows", split)
        run.produce(plain: "merged_without_attention", windows.merge(split, run.context))
        run.produce(
            plain: "output",
            try unet.runTransformerBlock(
                run.parameters.string("block"), tokens: tokens, size: (grid[0], grid[1]), text: text,
                windowShift: UInt8(shift)))
    }

    static func unet(_ run: CaseRun) throws {
        let unet = try run.model().unet()
        let parameters = run.parameters
        let shifts = try parameters.integers("shifts")
        guard shifts.allSatisfy({ (0...3).contains($0) }) else { throw GoldenError.failed("shifts are 0 to 3") }
        let plan = UNetPlan(
            rad: try parameters.flag("rad"), pool: try parameters.flag("pool"),
            windowShifts: try parameters.flag("window") ? shifts.map { UInt8($0) } : nil)
        let probe = UNetProbe()
        let output = try unet.forward(NetworkCases.unetInput(run, unet), plan: plan, probe: probe)
        try compareTrace(probe, parameters)
        run.produce(image: "sample", output)
    }

    /// The sizes of feature maps, in the order of computing.
    private static func compareTrace(_ probe: UNetProbe, _ parameters: Parameters) throws {
        let actual = probe.sizes.map {
            JSONValue.array([.string($0.name), .integer(Int64($0.height)), .integer(Int64($0.width))])
        }
        let expected = try parameters.value("trace").arrayValue ?? []
        guard actual == expected else {
            let index = zip(actual, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset
            let place = index.map { "\(actual[$0].canonicalText) for \(expected[$0].canonicalText)" }
            throw GoldenError.failed(
                "the trace of feature sizes differs: \(place ?? "\(actual.count) for \(expected.count) entries")")
        }
    }
}
