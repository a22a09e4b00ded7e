import Resampling
import Testing

@Suite("Resizing latents")
struct LatentResizerTests {
    /// 3×4 values of two channels.
    static let values = (0..<24).map { Float($0 * $0 % 17) / 4 }

    /// `F.interpolate(x, (5, 7), mode=…)` of PyTorch 2.13, first channel's first row and last value of all.
    @Test func agreesWithPyTorch() throws {
        for (kernel, row, last) in Self.expected {
            let resized = LatentResizer.resized(Self.values, size: (3, 4), to: (5, 7), kernel)
            #expect(resized.count == 2 * 35)
            for (found, wanted) in zip(resized, row) { #expect(abs(found - wanted) < 1e-5, "\(kernel)") }
            #expect(abs(resized[69] - last) < 1e-5, "\(kernel)")
        }
    }

    static let expected: [(LatentResizer.Kernel, [Float], Float)] = [
        (.bilinear, [0, 0.089286, 0.232143, 0.625, 1.089286, 1.803572, 2.25], 0.5),
        (.bicubic, [-0.430235, -0.284621, 0.010716, 0.5095, 1.153157, 1.8049, 2.210971], 0.281745),
        (.nearest, [0, 0, 0.25, 1, 1, 2.25, 2.25], 0.5),
    ]

    @Test func theSameSizeIsTheSameLatent() {
        for kernel in LatentResizer.Kernel.allCases {
            #expect(LatentResizer.resized(Self.values, size: (3, 4), to: (3, 4), kernel) == Self.values)
        }
    }

    @Test func aConstantStaysOne() {
        for kernel in LatentResizer.Kernel.allCases {
            for (height, width) in [(1, 1), (2, 9), (31, 5)] {
                let flat = LatentResizer.resized([Float](repeating: 0.75, count: 6), size: (2, 3), to: (height, width), kernel)
                #expect(flat.count == height * width && flat.allSatisfy { abs($0 - 0.75) < 1e-6 })
            }
        }
    }
}
