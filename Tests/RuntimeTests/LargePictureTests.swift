import Cluster
import Foundation
import ImageFiles
import Messages
import StrictJSON
import Testing

@testable import Runtime

/// Pictures that come in many pieces.
@Suite("Large pictures")
struct LargePictureTests {
    /// Noise of 1024×6000 pixels: five pieces.
    private static let size = (width: 1024, height: 6000)

    private func farm(_ port: Int) throws -> TestFarm {
        try TestFarm(endpoint: "tcp://127.0.0.1:\(port)", picture: Self.size)
    }

    private func submit(_ port: Int) async throws -> RenderResult {
        let order = SubmitClient.Order(
            coordinator: "tcp://127.0.0.1:\(port)",
            request: EncodedPart(metadata: ["barriers": [3], "seed": 5], payload: []))
        return try await Blocking.run { () throws(RuntimeError) -> RenderResult in
            try SubmitClient.run(order, onEvent: { _ in }, isCancelled: { false })
        }
    }

    private func check(_ result: RenderResult) throws {
        let image = try ImageDecoder.decode(result.file.bytes())
        #expect(result.file.byteCount > 4 * WireLimits.resultChunkBytes)
        #expect(image.width == Self.size.width && image.height == Self.size.height)
        #expect(image.rgb == FakeJob.noise(Self.size, seed: 5))
    }

    @Test func comeInPieces() async throws {
        let port = try TestFarm.freePort()
        let farm = try farm(port)
        defer { farm.stop() }
        try farm.addWorker()
        try check(try await submit(port))
    }

    /// The connection breaks in the first piece, between others, and in the last.
    @Test(arguments: [[2_000_000], [5_000_000, 3_000_000], [9_000_000, 100_000, 4_000_000], [18_000_000]])
    func aBrokenTransferGoesOn(_ cuts: [Int]) async throws {
        let port = try TestFarm.freePort()
        let farm = try farm(port)
        defer { farm.stop() }
        try farm.addWorker()
        let relay = try CuttingRelay(to: port, cuts: cuts)
        defer { relay.stop() }
        try check(try await submit(relay.port))
        #expect(relay.connections > cuts.count)
    }

    @Test func aPictureThatIsGoneIsOneSentence() throws {
        var kept = KeptPictures()
        let now = monotonicNow()
        let job = UniqueID.random()
        var writer = try PictureFile.Writer(bytes: 10)
        try writer.append([UInt8](repeating: 1, count: WireLimits.resultChunkBytes + 1))
        kept.keep(RenderResult(file: writer.finished(), width: 1, height: 1, parameters: ""), of: job, now)
        let pieces = try #require(try kept.pieces(ResultFetch(first: 1, count: 4), of: job, now))
        #expect(pieces.map(\.index) == [1] && pieces[0].payload == [1] && pieces[0].details == nil)
        #expect(try kept.pieces(ResultFetch(first: 0, count: 4), of: job, now)?.map(\.index) == [0, 1])
        #expect(try kept.pieces(ResultFetch(first: 0, count: 1), of: .random(), now) == nil)
        kept.forgetOld(now + .seconds(599))
        #expect(try kept.pieces(ResultFetch(first: 0, count: 1), of: job, now) != nil)
        // The client has all pieces.
        #expect(try kept.pieces(ResultFetch(first: 2, count: 1), of: job, now)?.isEmpty == true)
        #expect(try kept.pieces(ResultFetch(first: 0, count: 1), of: job, now) == nil)
        kept.keep(RenderResult(file: writer.finished(), width: 1, height: 1, parameters: ""), of: job, now)
        kept.forgetOld(now + .seconds(600))
        #expect(try kept.pieces(ResultFetch(first: 0, count: 1), of: job, now) == nil)
    }

    /// The coordinator lost a question, or the client its answer.
    @Test func aClientAsksAgain() async throws {
        let port = try TestFarm.freePort()
        let farm = try farm(port)
        defer { farm.stop() }
        try farm.addWorker()
        var order = SubmitClient.Order(
            coordinator: "tcp://127.0.0.1:\(port)",
            request: EncodedPart(metadata: ["barriers": [3], "seed": 5], payload: []))
        // The client asks all the time, and takes each piece once.
        order.askAgain = .zero
        let eager = order
        try check(
            try await Blocking.run { () throws(RuntimeError) -> RenderResult in
                try SubmitClient.run(eager, onEvent: { _ in }, isCancelled: { false })
            })
    }

    /// More clients than the limit have gone away, and their pictures wait.
    @Test func theNumberOfKeptPicturesHasALimit() throws {
        var kept = KeptPictures()
        let start = monotonicNow()
        var writer = try PictureFile.Writer(bytes: 10)
        try writer.append([1, 2, 3])
        let jobs = (0...WireLimits.keptPictures).map { _ in UniqueID.random() }
        for (index, job) in jobs.enumerated() {
            let now = start + .milliseconds(index)
            kept.keep(RenderResult(file: writer.finished(), width: 1, height: 1, parameters: ""), of: job, now)
        }
        let ask = ResultFetch(first: 0, count: 1)
        #expect(try jobs.map { try kept.pieces(ask, of: $0, start) != nil } == [false] + jobs.dropFirst().map { _ in true })
        kept.forget(jobs[5])
        #expect(try kept.pieces(ask, of: jobs[5], start) == nil)
    }

    /// Outputs that the engine takes one by one. Another worker computes the outputs of a lying worker again.
    @Test(arguments: [[4, 1], [64, 30]])
    func outputsThatAreTakenOneByOne(_ barriers: [Int]) async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try farm.addWorker(FakeBehaviour(lies: true))
        try farm.addWorker(FakeBehaviour(taskMilliseconds: 1))
        try await farm.waitForWorkers(2)
        var job = FakeJob(barriers: barriers, seed: 9)
        job.takesEach = true
        let outcome = await TestFarm.follow(try farm.coordinator.submit(job))
        #expect(outcome.last.parameters == FakeJob.expectedParameters(barriers: barriers, seed: 9))
    }

    @Test func aDownloadTakesEachPieceOnce() throws {
        func piece(_ index: Int, count: Int = 6, details: Bool = true) -> ResultChunk {
            ResultChunk(
                index: index, count: count, totalBytes: 6, details: index == 0 && details ? ["width": 8] : nil,
                payload: [UInt8(index)])
        }
        #expect(throws: RuntimeError.self) { try PictureDownload(piece(0, details: false)) }
        var download = try PictureDownload(piece(0))
        #expect(try download.take(piece(0)))
        #expect(download.ask() == ResultFetch(first: 1, count: 4))
        // The second piece was lost with its connection.
        #expect(try !download.take(piece(2)))
        #expect(try !download.take(piece(1)))
        #expect(download.ask() == ResultFetch(first: 2, count: 4))
        #expect(throws: RuntimeError.self) { try download.take(piece(2, count: 7)) }
        for index in [2, 2, 3, 4] { #expect(try !download.take(piece(index))) }
        #expect(!download.isComplete)
        #expect(try download.take(piece(5)))
        #expect(download.isComplete && download.ask().first == 6)
    }
}

extension RenderResult {
    /// The file's bytes. If they cannot be read, the test fails.
    var png: [UInt8] {
        do { return try file.bytes() } catch {
            Issue.record(error)
            return []
        }
    }
}
