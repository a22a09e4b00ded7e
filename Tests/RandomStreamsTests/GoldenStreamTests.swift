import RandomStreams
import StrictJSON
import TestSupport
import Testing

/// Every tensor of the `rng` cases. Its name says which call made it, from a generator that starts at the case's seed.
@Suite struct GoldenStreamTests {
    private static let cases = GoldenFiles.cases("rng")

    @Test(arguments: cases) func matchesTheReference(_ golden: GoldenFiles) throws {
        let seed = try #require(golden.params["seed"]?.wholeValue)
        let isTorch = try #require(golden.params["stream"]?.stringValue).hasPrefix("torch")
        if isTorch { try checkMixed(golden, seed) }
        for name in golden.expected.names where !name.hasPrefix("randn_mixed") && !name.hasSuffix("_second") {
            if isTorch { try checkTorch(golden, name, seed) } else { try checkPython(golden, name, seed) }
        }
    }

    private func checkTorch(_ golden: GoldenFiles, _ name: String, _ seed: UInt64) throws {
        var generator = TorchCPUGenerator(seed: seed)
        let parts = name.split(separator: "_").map(String.init)
        let count = golden.expected.shape(name).reduce(1, *)
        switch parts[0] {
        case "rand1": #expect((0..<count).map { _ in generator.uniform() } == golden.expected.floats(name))
        case "rand": #expect(generator.uniforms(count: count) == golden.expected.floats(name))
        case "randn":
            #expect(golden.mismatch(name, generator.normals(count: count)) == nil)
            if name.hasSuffix("_first") {
                let second = name.replacing("_first", with: "_second")
                #expect(golden.mismatch(second, generator.normals(count: count)) == nil)
            }
        case "randint":
            let bound = try #require(UInt64(parts[1]))
            #expect((0..<count).map { _ in Int(generator.integer(below: bound)) } == golden.expected.integers(name))
        case "randperm":
            let size = try #require(Int(parts[1]))
            let drawn = (0..<(count / size)).flatMap { _ in generator.permutation(count: size) }
            #expect(drawn == golden.expected.integers(name))
        default: Issue.record("the tensor \(name) is not understood")
        }
    }

    /// Seven, twenty and three normals from one generator. The scalar calls share a spare value, and the block call leaves it
    /// alone.
    private func checkMixed(_ golden: GoldenFiles, _ seed: UInt64) throws {
        var generator = TorchCPUGenerator(seed: seed)
        for (name, count) in [("randn_mixed_a7", 7), ("randn_mixed_b20", 20), ("randn_mixed_c3", 3)] {
            #expect(golden.mismatch(name, generator.normals(count: count)) == nil, "\(golden)")
        }
    }

    private func checkPython(_ golden: GoldenFiles, _ name: String, _ seed: UInt64) throws {
        var random = PythonRandom(seed: seed)
        let count = golden.expected.shape(name).reduce(1, *)
        let parts = name.split(separator: "_").map { $0.replacing("m", with: "-") }
        switch parts[0] {
        case "u32": #expect((0..<count).map { _ in Int(random.nextWord()) } == golden.expected.integers(name))
        case "rando-": #expect((0..<count).map { _ in Float(random.uniform()) } == golden.expected.floats(name))
        case "randint":
            let (low, high) = (try #require(Int(parts[1])), try #require(Int(parts[2])))
            #expect((0..<count).map { _ in random.integer(in: low...high) } == golden.expected.integers(name))
        default: Issue.record("the tensor \(name) is not understood")
        }
    }
}
