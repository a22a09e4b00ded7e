import Foundation
import StrictJSON
import Testing

extension EndToEnd {
    /// The memory of a worker that `plan` foretells, against the memory that the worker takes.
    @Suite struct MemoryTests {
        /// A worker that does it all. Of several, one may have no part in a phase with few tasks, and need less.
        @Test(arguments: [
            "-W 256 -H 256 --steps 2", "-W 384 -H 256 --steps 2 --precision f32 --group 1", "-W 512 -H 256 --steps 2",
            "-W 384 -H 384 --method cut --steps 2", "-W 512 -H 512 --method direct --steps 1",
            "-W 256 -H 384 --method multidiffusion --steps 1", "-W 512 -H 256 --method direct --steps 1 --vae-tile-size 128",
            "-W 384 -H 384 --method cut --steps 2 --vae-tile-size 256",
            "-W 256 -H 256 --steps 2 --backend openblas --precision f32",
            "-W 512 -H 512 --method direct --steps 1 --precision f32",
        ])
        func planTellsTheMemoryOfAWorker(_ words: String) async throws {
            let options = ["-p", "a red apple", "--workers", "1"] + words.split(separator: " ").map(String.init)
            let folder = try Folder()
            let plan = try Program(["plan", "--json"] + options, in: folder)
            let render = try Program(["render", "--json", "-q", "-o", folder.file("a.png")] + options, in: folder)
            defer { for program in [plan, render] { program.end() } }
            try #require(try await plan.wait().code == 0, "\(plan.errorLines)")
            try #require(try await render.wait().code == 0, "\(render.errorLines)")
            let told = try JSONValue(parsing: Array(plan.outputLines.joined().utf8), limits: .config)
            let taken = try JSONValue(parsing: Array((render.outputLines.last ?? "").utf8), limits: .config)
            let (expected, peak) = (
                try #require(told["worker_bytes"]?.intValue), try #require(taken["counts"]?["worker_peak_bytes"]?.intValue)
            )
            // Within a tenth. The libraries have 66 MiB of pages, of which a worker that is alone with its coordinator has a
            // half. The processes of other tests share them too, and leave it less.
            let shared = 24 << 20
            let isNear = Double(expected) > 0.9 * Double(peak) && Double(expected - shared) < 1.1 * Double(peak)
            #expect(isNear, "\(expected >> 20) MiB told, \(peak >> 20) MiB taken")
            let phases = try #require(told["phases"]?.arrayValue)
            #expect(phases.allSatisfy { $0["worker_bytes"]?.intValue ?? .max <= expected })
            #expect(told["worker_bytes_least"]?.intValue ?? .max <= expected)
            #expect((1 << 20..<1 << 30).contains(told["coordinator_bytes"]?.intValue ?? 0))
        }
    }
}
