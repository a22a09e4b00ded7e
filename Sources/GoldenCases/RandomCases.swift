import RandomStreams

/// PyTorch's and Python's random streams. The name of each expected tensor says what was drawn, from a fresh generator.
enum RandomCases {
    static func draw(_ run: CaseRun) throws {
        let seed = try run.parameters.seed("seed")
        let stream = try run.parameters.string("stream")
        switch stream {
        case "torch CPU generator": try drawTorch(run, seed)
        case "python random.Random": try drawPython(run, seed)
        default: throw GoldenError.failed("the stream \"\(stream)\" is not known")
        }
    }

    /// Names that belong to one generator, in the order of drawing.
    private static let mixed = ["randn_mixed_a7", "randn_mixed_b20", "randn_mixed_c3"]

    private static func drawTorch(_ run: CaseRun, _ seed: UInt64) throws {
        for (name, wanted) in run.golden.expected.tensors {
            var generator = TorchCPUGenerator(seed: seed)
            let parts = name.split(separator: "_").map(String.init)
            switch parts.first {
            case "randn": run.produce(name, try normals(name, parts, wanted, &generator))
            case "rand":
                run.produce(name, GoldenTensor(generator.uniforms(count: wanted.count), shape: wanted.shape), exact: true)
            case "rand1":
                let values = (0..<wanted.count).map { _ in generator.uniform() }
                run.produce(name, GoldenTensor(values, shape: wanted.shape), exact: true)
            case "randperm":
                guard let n = number(parts, 1), let rows = wanted.shape.first else { throw unknown(name) }
                let values = (0..<rows).flatMap { _ in generator.permutation(count: n) }
                run.produce(name, GoldenTensor(integers: values, shape: [rows, n]))
            case "randint":
                guard let bound = number(parts, 1), bound > 0 else { throw unknown(name) }
                let values = (0..<wanted.count).map { _ in Int(generator.integer(below: UInt64(bound))) }
                run.produce(name, GoldenTensor(integers: values, shape: wanted.shape))
            default: throw unknown(name)
            }
        }
    }

    private static func normals(
        _ name: String, _ parts: [String], _ wanted: GoldenTensor, _ generator: inout TorchCPUGenerator
    ) throws -> GoldenTensor {
        if let place = mixed.firstIndex(of: name) {
            for earlier in mixed[..<place] {
                guard let count = Int(earlier.drop { !$0.isNumber }) else { throw unknown(name) }
                _ = generator.normals(count: count)
            }
        } else if parts.last == "second" {
            _ = generator.normals(count: wanted.count)
        } else {
            guard parts.count == 2 || parts.last == "first" else { throw unknown(name) }
        }
        return GoldenTensor(generator.normals(count: wanted.count), shape: wanted.shape)
    }

    private static func drawPython(_ run: CaseRun, _ seed: UInt64) throws {
        for (name, wanted) in run.golden.expected.tensors {
            var generator = PythonRandom(seed: seed)
            let parts = name.split(separator: "_").map(String.init)
            switch parts.first {
            case "u32":
                let values = (0..<wanted.count).map { _ in Int(generator.nextWord()) }
                run.produce(name, GoldenTensor(integers: values, shape: wanted.shape))
            case "random":
                let values = (0..<wanted.count).map { _ in generator.uniform() }
                run.produce(name, GoldenTensor(shape: wanted.shape, values: .reals(values)), exact: true)
            case "randint":
                guard parts.count == 3, let low = signed(parts[1]), let high = signed(parts[2]), low <= high,
                    high - low < 1 << 31
                else { throw unknown(name) }
                let values = (0..<wanted.count).map { _ in generator.integer(in: low...high) }
                run.produce(name, GoldenTensor(integers: values, shape: wanted.shape))
            default: throw unknown(name)
            }
        }
    }

    /// A number whose minus sign is written as m.
    private static func signed(_ text: String) -> Int? {
        let digits = text.hasPrefix("m") ? "-" + text.dropFirst() : text
        return Int32(digits).map(Int.init)
    }

    private static func number(_ parts: [String], _ index: Int) -> Int? {
        parts.indices.contains(index) ? Int(parts[index]) : nil
    }

    private static func unknown(_ name: String) -> GoldenError { .failed("\(name) names no draw that is known") }
}
