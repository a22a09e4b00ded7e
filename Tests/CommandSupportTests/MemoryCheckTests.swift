import ArgumentParser
import Rendering
import TensorCore
import TestSupport
import Testing
import Weights

@testable import CommandSupport

/// A render that no worker has memory for ends before it starts.
@Suite struct MemoryCheckTests {
    /// - Returns: the sentence of the refusal; nil if there is none.
    private static func refusal(_ change: (inout RenderRequest) -> Void, free: Int?) throws -> String? {
        var request = RenderRequest()
        (request.prompt, request.steps, request.precision) = ("x", 2, .f32)
        change(&request)
        let model = try ModelDescription(source: .embeddedModel)
        let machine = try RenderMachine(request: request, model: model, loras: .empty)
        do {
            let layout = try HostOptions.parse(["--workers", "2", "--threads-per-worker", "1"])
                .layout(weightBytes: 0, precision: request.precision)
            try MemoryCheck(.embeddedModel, model, .empty, layout, freeBytes: free)
                .require(request, machine, weightBytes: 0)
        } catch {
            let failure = try #require(error as? CommandFailure)
            #expect(failure.status == .temporary)
            return failure.message
        }
        return nil
    }

    private static func sentence(_ free: Int, _ change: (inout RenderRequest) -> Void) throws -> String {
        try #require(try refusal(change, free: free << 20))
    }

    private static func large(_ request: inout RenderRequest) { (request.width, request.height) = (1024, 1024) }

    @Test func whatFitsIsLetThrough() throws {
        #expect(try Self.refusal({ ($0.width, $0.height) = (1024, 1024) }, free: 8 << 30) == nil)
        #expect(try Self.refusal({ ($0.width, $0.height) = (512, 512) }, free: 1 << 30) == nil)
        #expect(try Self.refusal({ ($0.width, $0.height) = (8192, 8192) }, free: nil) == nil)
    }

    /// Each remedy is tried with those before it.
    @Test func theSentenceSaysWhatWouldFit() throws {
        let tiles = try Self.sentence(400, Self.large)
        #expect(
            tiles.wholeMatch(
                of: /A worker and the coordinator need at least \d+ MiB for this picture, and this host has 400 MiB free; .+/)
                != nil)
        #expect(tiles.contains("; with --vae-tile-size 256 they need "), "\(tiles)")
        // The user's smaller tiles stay.
        let own = try Self.sentence(240) { request in
            Self.large(&request)
            request.vaeTileSize = 128
        }
        #expect(!own.contains("--vae-tile-size"), "\(own)")
        let nothing = try Self.sentence(40, Self.large)
        #expect(nothing.hasSuffix("choose a smaller picture or model, or end other programs."), "\(nothing)")
        let method = try Self.sentence(300) { ($0.width, $0.height, $0.method) = (2048, 2048, .direct) }
        #expect(method.contains("--vae-tile-size 256 ") && method.contains(" --method cut they need "), "\(method)")
    }

    /// Patches that are larger than the model's native size, and a stride for which smaller patches would leave gaps.
    @Test func theSentenceNamesThePatchThatWouldFit() throws {
        func cut(_ request: inout RenderRequest) {
            (request.width, request.height, request.method, request.patch) = (2048, 2048, .cut, 2048)
        }
        let patch = try Self.sentence(300, cut)
        #expect(patch.contains(" --patch 128 they need "), "\(patch)")
        let stride = try Self.sentence(300) { request in
            cut(&request)
            request.stride = 512
        }
        #expect(stride.hasSuffix("choose a smaller picture or model, or end other programs."), "\(stride)")
    }

    @Test func theSentenceNamesThePrecisionThatWouldFit() throws {
        try needs((try? PrecisionChoice.bf16.resolved(.auto)) != nil, "bf16")
        let precision = try Self.sentence(240, Self.large)
        #expect(precision.contains("; with --vae-tile-size 256 --precision bf16 they need "), "\(precision)")
    }

    /// The tile size that the sentence names is enough.
    @Test func theRemedyIsLetThrough() throws {
        #expect(
            try Self.refusal({ ($0.width, $0.height, $0.vaeTileSize) = (1024, 1024, 256) }, free: 400 << 20) == nil)
    }
}
