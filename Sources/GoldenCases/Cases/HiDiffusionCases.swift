import Acceleration
import DiffusionModels
import RandomStreams
import Rendering
import StrictJSON
import TensorCore

/// HiDiffusion's operators, one block and one U-Net call.
enum HiDiffusionCases {
    static func operators(_ run: CaseRun) throws {
        let name = try run.parameters.string("op")
        switch name {
        case "avg_pool_2x2_ceil": run.produce(image: "y", run.context.averagePool2x2(run.narrowed(try run.image("x"))))
        case "rad_conv": try dilatedConvolution(run)
        case "resize": try resize(run)
        case "shift_ids":
            var generator = TorchCPUGenerator(seed: try run.parameters.seed("seed"))
            let count = run.golden.expected.tensors["ids"]?.count ?? 0
            let ids = WindowShifts.referenceIDs(&generator, count: count)
            run.produce("ids", GoldenTensor(integers: ids.map(Int.init), shape: [count]))
        default: throw GoldenError.failed("the operator \"\(name)\" is not known")
        }
    }

    private static func dilatedConvolution(_ run: CaseRun) throws {
        let x = run.narrowed(try run.image("x"))
        let weight = try run.tensor("weight", [nil, x.shape[3], 3, 3])
        let bias = try run.tensor("bias", [weight.shape[0]])
        let packed = try run.context.packConvolution(weight: run.narrowed(weight), bias: bias)
        run.produce(image: "plain", try run.context.convolution(x, packed, stride: 2))
        run.produce(
            image: "rad", try run.context.convolution(x, packed, stride: 4, padding: Padding(2), dilation: 2))
    }

    /// Every expected tensor names its operator and size, `bicubic_14x20`; `back` takes the pooled map to the size of x.
    private static func resize(_ run: CaseRun) throws {
        let (x, pooled) = (run.narrowed(try run.image("x")), run.narrowed(try run.image("pooled")))
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
        let block = try TokenCases.BlockRun(run)
        let shift = try run.parameters.integer("shift", in: 0...3)
        let normed = run.narrowed(try run.tensor("norm1_output", block.tokens.shape.map { $0 }))
        let windows = WindowGeometry(height: block.height, width: block.width, shift: shift)
        let split = windows.split(normed, run.context)
        run.produce(plain: "windows", split)
        run.produce(plain: "merged_without_attention", windows.merge(split, run.context))
        try block.produce(UNetSwitches(windowShifts: [UInt8(shift)]))
    }

    /// Produces for every step whether RAD is active, and whether pooling is, for many sizes.
    static func switches(_ run: CaseRun) throws {
        let profile = try profile(run.parameters)
        let rows = try run.parameters.value("size_and_steps").arrayValue ?? []
        for row in rows {
            let numbers = row.arrayValue?.compactMap(\.intValue) ?? []
            guard numbers.count == 3, numbers.allSatisfy({ (1...100_000).contains($0) }) else {
                throw GoldenError.failed("\"size_and_steps\" holds rows of height, width and steps")
            }
            let (height, width, steps) = (numbers[0], numbers[1], numbers[2])
            let switches = (0..<steps).map {
                RAUNetSwitches(profile: profile, height: height, width: width, steps: steps, step: $0)
            }
            let key = "\(height)x\(width)-n\(steps)"
            run.produce(key + ".rad", GoldenTensor(integers: switches.map { $0.rad ? 1 : 0 }, shape: [steps]))
            run.produce(key + ".pool", GoldenTensor(integers: switches.map { $0.pool ? 1 : 0 }, shape: [steps]))
        }
    }

    static func windowShifts(_ shifts: [Int]) throws -> [UInt8] {
        guard shifts.allSatisfy({ (0...3).contains($0) }) else { throw GoldenError.failed("shifts are 0 to 3") }
        return shifts.map { UInt8($0) }
    }

    static func profile(_ parameters: Parameters, key: String = "family") throws -> HiDiffusionProfile {
        let name = try parameters.string(key)
        guard let profile = HiDiffusionProfile(rawValue: name) else {
            throw GoldenError.failed("the profile \"\(name)\" is not known")
        }
        return profile
    }

    /// The program's own switches must equal the reference's.
    private static func checkSwitches(_ parameters: Parameters) throws {
        let size = try parameters.integers("size_seen_by_reference")
        let steps = try parameters.integer("N", in: 1...100_000)
        guard size.count == 2, size.allSatisfy({ $0 > 0 }) else { throw GoldenError.failed("a size has height and width") }
        var switches = RAUNetSwitches(
            profile: try profile(parameters), height: size[0], width: size[1], steps: steps,
            step: try parameters.integer("t", in: 0...(steps - 1)))
        if try !parameters.flag("raunet") { switches = .plain }
        let (rad, pool) = (try parameters.flag("rad"), try parameters.flag("pool"))
        guard switches == RAUNetSwitches(rad: rad, pool: pool) else {
            throw GoldenError.failed("the switches are \(switches), the reference had rad \(rad) and pool \(pool)")
        }
    }

    static func unet(_ run: CaseRun) throws {
        let unet = try run.model().networks.unet()
        let parameters = run.parameters
        try checkSwitches(parameters)
        let shifts = try windowShifts(parameters.integers("shifts"))
        let switches = UNetSwitches(
            rad: try parameters.flag("rad"), pool: try parameters.flag("pool"),
            windowShifts: try parameters.flag("window") ? shifts : nil)
        let probe = UNetProbe()
        let output = try unet.forward(NetworkCases.unetInput(run, unet), switches: switches, probe: probe)
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
