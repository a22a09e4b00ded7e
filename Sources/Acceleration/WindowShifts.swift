public import RandomStreams

/// Shift ids of window attention, `0...3` for each window block: how far to roll the feature map before it is cut into
/// windows.
public enum WindowShifts {
    /// The shifts of one call in a render, one for each window block in execution order. They are equal for all patches of
    /// the call, so that averaged views have seen the same windows. Each has a hash of its own.
    public static func ids(seed: UInt64, call: Int, blocks: Int) -> [UInt8] {
        (0..<blocks).map { block in
            var stream = HashStream(seed: seed, purpose: .windowShift, call: call, index: block)
            return UInt8(stream.integer(below: 4))
        }
    }

    /// The next `count` shifts that the reference draws from PyTorch's default generator, one `rand(1)` each. A draw of
    /// exactly a quarter belongs to the lower id.
    public static func referenceIDs(_ generator: inout TorchCPUGenerator, count: Int) -> [UInt8] {
        (0..<count).map { _ in
            let draw = generator.uniform()
            return draw <= 0.25 ? 0 : draw <= 0.5 ? 1 : draw <= 0.75 ? 2 : 3
        }
    }
}
