public import ImageFiles
public import Runtime

extension OutputFile {
    /// Writes a finished picture, piece by piece, and puts the file in place in one step.
    public func write(_ picture: PictureFile) throws {
        var draft = try draft()
        for piece in picture.pieces(of: 1 << 20) { try draft.append(picture.bytes(piece)) }
        try draft.commit()
    }
}
