internal import Messages
internal import ScratchFiles
import Sentences
internal import StrictJSON

/// A picture on its way from the coordinator, piece by piece.
struct PictureDownload {
    private let details: JSONValue
    private let count: Int
    private let totalBytes: Int
    private var writer: PictureFile.Writer
    private var nextPiece = 0
    /// The number of the piece after the last one that was asked for.
    private var askedUntil = 1

    /// - Parameter first: piece 0.
    /// - Throws: `internalFault` for a piece without details, `cannotWrite` if there is no room for the picture.
    init(_ first: ResultChunk) throws(RuntimeError) {
        guard let details = first.details else {
            throw RuntimeError(.internalFault, "The coordinator sent a picture without its details.")
        }
        (self.details, count, totalBytes) = (details, first.count, first.totalBytes)
        do throws(ScratchError) { writer = try PictureFile.Writer(bytes: first.totalBytes) } catch { throw RuntimeError(error) }
    }

    var isComplete: Bool { nextPiece == count }

    /// Asks for the missing pieces, some at once.
    mutating func ask() -> ResultFetch {
        askedUntil = min(count, nextPiece + WireLimits.resultChunksAtOnce)
        return ResultFetch(first: nextPiece, count: WireLimits.resultChunksAtOnce)
    }

    /// Takes a piece. Pieces that came twice, or too early after others were lost, are left out.
    ///
    /// - Returns: whether all pieces that were asked for are here, so that it is time to `ask` again.
    /// - Throws: `internalFault` for a piece of another picture, `cannotWrite` if there is no room for it.
    mutating func take(_ chunk: ResultChunk) throws(RuntimeError) -> Bool {
        guard chunk.count == count, chunk.totalBytes == totalBytes else {
            throw RuntimeError(.internalFault, "The coordinator sent pieces of two pictures for one job.")
        }
        guard chunk.index == nextPiece else { return false }
        do throws(ScratchError) { try writer.append(chunk.payload) } catch { throw RuntimeError(error) }
        nextPiece += 1
        return nextPiece == askedUntil
    }

    /// The whole picture.
    ///
    /// - Throws: `internalFault` for details that cannot be read.
    func result() throws(RuntimeError) -> RenderResult {
        guard let members = details.objectValue, var result = try? RenderResult(RenderResult.Fields(members) { $0 }) else {
            throw RuntimeError(.internalFault, "The coordinator sent a picture without its details.")
        }
        result.file = writer.finished()
        return result
    }
}
