import Foundation
import ImageFiles
import StrictJSON
import TestSupport
import Testing

extension EndToEnd {
    /// Compares the program's picture with the reference implementation's for the same request.
    @Suite struct GoldenPictureTests {
        private static let decibelsNeeded = 45.0

        @Test func directRenderingIsTheReferencesPicture() async throws {
            let golden = try GoldenFiles("txt2img/openmoji-24-red-apple")
            let shape = golden.shape("image_u8")
            try #require(shape.count == 4 && shape[0] == 1 && shape[1] == 3)
            let (height, width) = (shape[2], shape[3])
            let folder = try Folder()
            let program = try Program(
                try arguments(golden, width: width, height: height) + ["-o", folder.file("a.png")], in: folder)
            defer { program.end() }
            try #require(try await program.wait().code == 0, "\(program.errorLines)")
            let image = try Picture(folder.file("a.png")).image
            try #require((image.width, image.height, image.channels) == (width, height, 3))
            let reference = Self.interleaved(try golden.integers("image_u8"), width * height)
            let reached = Self.decibels(image.pixels, reference)
            #expect(
                reached >= Self.decibelsNeeded,
                "the picture reaches \(reached) dB of the reference's, \(Self.decibelsNeeded) are needed")
        }

        /// The comparison's verdict on pictures that differ from the reference's.
        @Test func anotherPictureIsFarFromIt() throws {
            let golden = try GoldenFiles("txt2img/openmoji-24-red-apple")
            let planes = try golden.integers("image_u8")
            let reference = Self.interleaved(planes, planes.count / 3)
            #expect(Self.decibels(reference, reference) == .infinity)
            #expect(Self.decibels(reference.map { $0 ^ 1 }, reference) == 10 * log10(255.0 * 255))
            #expect(Self.decibels(reference.reversed(), reference) < Self.decibelsNeeded)
            #expect(Self.decibels(reference.map { $0 ^ 2 }, reference) < Self.decibelsNeeded)
        }

        /// The case's request as a command line.
        private func arguments(_ golden: GoldenFiles, width: Int, height: Int) throws -> [String] {
            let params = golden.params
            let samplers = ["DDIMScheduler": "ddim", "EulerDiscreteScheduler": "euler"]
            let sampler = try #require(samplers[params["scheduler_config"]?["_class_name"]?.stringValue ?? ""])
            return [
                "render", "--precision", "f32", "--method", "direct", "-p", try #require(params["prompt"]?.stringValue),
                "-n", params["negative_prompt"]?.stringValue ?? "", "-W", "\(width)", "-H", "\(height)",
                "--steps", "\(try #require(params["steps"]?.intValue))",
                "--cfg-scale", "\(try #require(params["guidance"]?.doubleValue))",
                "-s", "\(try #require(params["seed"]?.intValue))", "--sampling-method", sampler,
            ]
        }

        /// Planes of red, green and blue as pixels.
        private static func interleaved(_ planes: [Int], _ count: Int) -> [UInt8] {
            (0..<count).flatMap { pixel in (0..<3).map { UInt8(planes[$0 * count + pixel]) } }
        }

        /// The peak signal-to-noise ratio of 8-bit pictures of one size.
        private static func decibels(_ a: [UInt8], _ b: [UInt8]) -> Double {
            let squares = zip(a, b).reduce(0.0) { sum, pair in
                let difference = Double(pair.0) - Double(pair.1)
                return sum + difference * difference
            }
            return squares == 0 ? .infinity : 10 * log10(255 * 255 * Double(a.count) / squares)
        }
    }
}
