import Acceleration
import DiffusionModels
import TensorCore
import TestSupport
import Testing

/// The windows of MSW-MSA, and a block in windows (vectors G17 and G18 of the specification).
@Suite struct WindowTests {
    private func tokens(_ batch: Int, _ height: Int, _ width: Int, _ channels: Int, seed: UInt64 = 5) -> Tensor {
        var numbers = TestNumbers(seed: seed)
        return Tensor(numbers.floats(batch * height * width * channels), shape: [batch, height * width, channels])
    }

    /// Every token of every window by the index formula, on an image of (batch, height, width, channels) with even sides.
    private func formula(_ image: [Float], _ shape: [Int], shift: Int) -> [Float] {
        let (height, width, channels) = (shape[1], shape[2], shape[3])
        let (w0, w1) = (height / 2, width / 2)
        let (s0, s1) = w0 / 4 * shift > 0 ? (w0 / 4 * shift, w1 / 4 * shift) : (0, 0)
        var result: [Float] = []
        for window in 0..<(4 * shape[0]) {
            let (b, i, j) = (window / 4, window / 2 % 2, window % 2)
            for token in 0..<(w0 * w1) {
                let row = (i * w0 + token / w1 + s0) % height
                let column = (j * w1 + token % w1 + s1) % width
                let place = ((b * height + row) * width + column) * channels
                result += image[place..<(place + channels)]
            }
        }
        return result
    }

    /// 6×10 is never rolled: its windows have three rows, although five columns would move.
    @Test(arguments: [(6, 10), (8, 8), (16, 24), (2, 40)], 0...3)
    func evenSidesAreCutByTheFormula(_ sides: (Int, Int), _ shift: Int) throws {
        let context = try ComputeContext(threads: 1)
        let x = tokens(2, sides.0, sides.1, 3)
        let windows = WindowGeometry(height: sides.0, width: sides.1, shift: shift)
        let split = windows.split(x, context)
        #expect(split.shape == [8, sides.0 * sides.1 / 4, 3])
        #expect(split.array == formula(x.array, [2, sides.0, sides.1, 3], shift: shift))
        #expect(windows.merge(split, context).array == x.array)
    }

    /// Odd sides are resized to even ones at first and back at the end. The formula holds on the resized image.
    @Test(arguments: [(5, 7), (17, 19), (95, 135)], 0...3) func oddSidesAreResized(_ sides: (Int, Int), _ shift: Int) throws {
        let context = try ComputeContext(threads: 1)
        let x = tokens(2, sides.0, sides.1, 3)
        let even = [2, (sides.0 + 1) / 2 * 2, (sides.1 + 1) / 2 * 2, 3]
        let image = context.resizeBicubic(x.reshaped([2, sides.0, sides.1, 3]), height: even[1], width: even[2])
        let windows = WindowGeometry(height: sides.0, width: sides.1, shift: shift)
        let split = windows.split(x, context)
        #expect(split.shape == [8, even[1] * even[2] / 4, 3])
        #expect(split.array == formula(image.array, even, shift: shift))
        let back = context.resizeBicubic(image, height: sides.0, width: sides.1)
        #expect(windows.merge(split, context).array == back.array)
    }

    private static let block = "down_blocks.0.attentions.1.transformer_blocks.0"

    /// Both halves of guidance see the same windows: equal rows stay equal, and a row is the same alone.
    @Test(arguments: 0...3) func rowsOfABatchShareTheirWindows(_ shift: Int) throws {
        let unet = try TestConfiguration.unet(TestConfiguration.sd15, ComputeContext(threads: 1))
        let switches = UNetSwitches(windowShifts: [UInt8(shift)])
        let (x, text) = (tokens(1, 16, 18, 8), tokens(1, 1, 7, 8, seed: 9))
        func run(_ rows: Int, _ switches: UNetSwitches) throws -> [Float] {
            let (many, texts) = (
                (0..<rows).flatMap { _ in x.array }, (0..<rows).flatMap { _ in text.array }
            )
            return try unet.runTransformerBlock(
                Self.block, tokens: Tensor(many, shape: [rows, 288, 8]), size: (16, 18),
                text: Tensor(texts, shape: [rows, 7, 8]), switches: switches
            ).array
        }
        let (alone, both) = (try run(1, switches), try run(2, switches))
        #expect(both.prefix(288 * 8) == both.suffix(288 * 8))
        let closeness = Closeness(Array(both.prefix(288 * 8)), alone)
        #expect(closeness.within(largest: 1e-6), "\(closeness)")
        #expect(try run(1, .plain) != alone, "windows changed nothing")
        #expect(try run(1, UNetSwitches(windowShifts: [UInt8((shift + 1) % 4)])) != alone)
    }
}
