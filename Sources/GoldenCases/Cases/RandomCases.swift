import RandomStreams

/// PyTorch's and Python's random streams. The name of each expected tensor says what a fresh generator draws.
enum RandomCases {
    static func draw(_ run: CaseRun) throws {
        let seed = try run.parameters.seed("seed")
        let stream = try run.parameters.string("stream")
        for (name, wanted) in run.golden.expected.tensors {
            let parts = name.split(separator: "_").map(String.init)
            let drawn: GoldenTensor?
            switch stream {
            case "torch CPU generator": drawn = try drawTorch(name, parts, wanted, seed)
            case "python random.Random": drawn = drawPython(parts, wanted, seed)
            default: throw GoldenError.failed("the stream \"\(stream)\" is not known")
            }
            guard let drawn else { throw unknown(name) }
            // Only normal numbers need functions whose last bit differs from library to library.
            run.produce(name, drawn, exact: parts.first != "randn")
        }
    }

    /// Names that belong to one generator, in the order of drawing.
    private static let mixed = ["randn_mixed_a7", "randn_mixed_b20", "randn_mixed_c3"]

    private static func drawTorch(
        _ name: String, _ parts: [String], _ wanted: GoldenTensor, _ seed: UInt64
    ) throws -> GoldenTensor? {
        var generator = TorchCPUGenerator(seed: seed)
        let number = parts.count > 1 ? Int(parts[1]) : nil
        switch parts.first {
        case "randn": return try normals(name, parts, wanted, &generator)
        case "rand": return GoldenTensor(generator.uniforms(count: wanted.count), shape: wanted.shape)
        case "rand1": return GoldenTensor((0..<wanted.count).map { _ in generator.uniform() }, shape: wanted.shape)
        case "randperm":
            guard let number, let rows = wanted.shape.first else { return nil }
            let values = (0..<rows).flatMap { _ in generator.permutation(count: number) }
            return GoldenTensor(integers: values, shape: [rows, number])
        case "randint":
            guard let number, number > 0 else { return nil }
            let values = (0..<wanted.count).map { _ in Int(generator.integer(below: UInt64(number))) }
            return GoldenTensor(integers: values, shape: wanted.shape)
        default: return nil
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

    private static func drawPython(_ parts: [String], _ wanted: GoldenTensor, _ seed: UInt64) -> GoldenTensor? {
        var generator = PythonRandom(seed: seed)
        switch parts.first {
        case "u32":
            return GoldenTensor(integers: (0..<wanted.count).map { _ in Int(generator.nextWord()) }, shape: wanted.shape)
        case "random":
            return GoldenTensor(shape: wanted.shape, values: .reals((0..<wanted.count).map { _ in generator.uniform() }))
        case "randint":
            guard parts.count == 3, let low = signed(parts[1]), let high = signed(parts[2]), low <= high, high - low < 1 << 31
            else { return nil }
            let values = (0..<wanted.count).map { _ in generator.integer(in: low...high) }
            return GoldenTensor(integers: values, shape: wanted.shape)
        default: return nil
        }
    }

    /// A number whose minus sign is written as m.
    private static func signed(_ text: String) -> Int? {
        let digits = text.hasPrefix("m") ? "-" + text.dropFirst() : text
        return Int32(digits).map(Int.init)
    }

    private static func unknown(_ name: String) -> GoldenError { .failed("\(name) names no draw that is known") }
}
