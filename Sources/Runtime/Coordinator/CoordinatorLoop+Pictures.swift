internal import Cluster
internal import Messages
import Sentences
internal import StrictJSON

/// The finished pictures of clients that have not fetched all of them yet. A client fetches its picture piece by piece, so
/// that neither side has a large one in memory. It goes on after its connection broke.
struct KeptPictures {
    private struct Picture {
        let file: PictureFile
        let details: JSONValue?
        var lastUse: Instant
    }

    /// The time that a picture waits for a client that is gone.
    static let patience = Interval.seconds(600)

    private var pictures: [UniqueID: Picture] = [:]

    /// Keeps a picture. If there are too many pictures, or too many bytes, the pictures that have waited longest go.
    mutating func keep(_ result: RenderResult, of job: UniqueID, _ now: Instant) {
        pictures[job] = Picture(file: result.file, details: result.jsonValue, lastUse: now)
        while pictures.count > WireLimits.keptPictures
            || pictures.count > 1 && pictures.values.reduce(0, { $0 + $1.file.byteCount }) > WireLimits.keptPictureBytes
        {
            guard let oldest = pictures.filter({ $0.key != job }).min(by: { $0.value.lastUse < $1.value.lastUse }) else {
                return
            }
            pictures[oldest.key] = nil
        }
    }

    mutating func forget(_ job: UniqueID) { pictures[job] = nil }

    /// The pieces that a client asks for; nil if the picture is not here.
    ///
    /// - Throws: `cannotWrite` if the disk fails.
    mutating func pieces(_ fetch: ResultFetch, of job: UniqueID, _ now: Instant) throws(RuntimeError) -> [ResultChunk]? {
        guard let picture = pictures[job] else { return nil }
        pictures[job]?.lastUse = now
        let pieces = picture.file.pieces(of: WireLimits.resultChunkBytes)
        guard fetch.first < pieces.count else {
            pictures[job] = nil
            return []
        }
        var chunks: [ResultChunk] = []
        for index in fetch.first..<min(pieces.count, fetch.first + fetch.count) {
            chunks.append(
                ResultChunk(
                    index: index, count: pieces.count, totalBytes: picture.file.byteCount,
                    details: index == 0 ? picture.details : nil, payload: try picture.file.bytes(pieces[index])))
        }
        return chunks
    }

    /// Forgets pictures that nobody has asked for in a long time.
    mutating func forgetOld(_ now: Instant) {
        pictures = pictures.filter { now.since($0.value.lastUse) < Self.patience }
    }
}

extension CoordinatorLoop {
    /// Keeps the picture of a client's job and sends its first piece.
    func offer(_ result: RenderResult, of job: UniqueID, along route: Route) {
        guard result.file.byteCount <= WireLimits.resultBytes else {
            let text: Sentence =
                "The picture file has \(result.file.byteCount) bytes; at most \(WireLimits.resultBytes) can be sent."
            send(.jobEvent(.failed(exitCode: 1, sentence: text)), along: route) { $0.job = job }
            return
        }
        let now = monotonicNow()
        pictures.keep(result, of: job, now)
        sendPieces(ResultFetch(first: 0, count: 1), of: job, along: route, now)
    }

    /// Sends pieces that a client asks for.
    ///
    /// A client that asks faster than it reads is not answered: it asks again when it has read.
    func sendPieces(_ fetch: ResultFetch, of job: UniqueID, along route: Route, _ now: Instant) {
        guard peers[route]?.waiting.isEmpty == true else { return }
        do throws(RuntimeError) {
            guard let chunks = try pictures.pieces(fetch, of: job, now) else {
                throw RuntimeError(
                    .unavailable,
                    "The coordinator has no picture of this job: it was started anew, or the connection broke while the job "
                        + "ran; submit it again.")
            }
            for chunk in chunks { send(.jobResult(chunk), along: route) { $0.job = job } }
        } catch {
            send(.jobEvent(.failed(exitCode: Int(error.exitCode), sentence: error.sentenceForClient)), along: route) {
                $0.job = job
            }
        }
    }
}

extension RuntimeError {
    /// The sentence for a client on another host. An error of writing is about this host's disk.
    var sentenceForClient: Sentence {
        code == .cannotWrite ? "On the coordinator's host \(PeerFacts.host): \(sentence)" : sentence
    }
}
