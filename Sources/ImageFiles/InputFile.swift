import FileLinks
import Glibc

/// Reads whole files of bounded size.
enum InputFile {
    /// The bytes of a regular file that begins as a picture does.
    static func read(_ path: String, limits: PictureLimits) throws(ImageFileError) -> [UInt8] {
        let descriptor = try openPath(path)
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure(path, errno) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: throw ImageFileError(.cannotRead, "\(path) is a folder; give the path of a picture.")
        default: throw ImageFileError(.cannotRead, "\(path) is a device or a pipe and no file; give the path of a picture.")
        }
        let size = Int(status.st_size)
        // The format is checked before the size: a checkpoint is larger than any picture, and its message should name it.
        let head = try read(descriptor, count: min(size, PictureFormat.headBytes), path)
        _ = try PictureFormat(of: head[...], name: path)
        try limits.checkFile(bytes: size, name: path)
        return try read(descriptor, count: size, path)
    }

    private static func openPath(_ path: String) throws(ImageFileError) -> Int32 {
        guard !path.isEmpty else {
            throw ImageFileError(.notFound, "The path of the picture is empty; give that of a picture.")
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor < 0 else { return descriptor }
        let number = errno
        if [ENOENT, ENOTDIR, ELOOP].contains(number), let link = BrokenLink(on: path) {
            throw ImageFileError(
                .notFound, "\(link.explanation); mend the link, or give the path of a picture.", systemError: number)
        }
        throw failure(path, number)
    }

    /// The first `count` bytes. If the file was cut meanwhile there are fewer, and the decoder reports it.
    private static func read(_ descriptor: Int32, count: Int, _ path: String) throws(ImageFileError) -> [UInt8] {
        var failed: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = pread(descriptor, buffer.baseAddress?.advanced(by: filled), count - filled, filled)
                if got < 0 && errno == EINTR { continue }
                if got < 0 { failed = errno }
                if got <= 0 { break }
                filled += got
            }
        }
        guard failed == 0 else { throw failure(path, failed) }
        return bytes
    }

    private static func failure(_ path: String, _ number: Int32) -> ImageFileError {
        let code: ImageFileError.Code = number == ENOENT || number == ENOTDIR ? .notFound : .cannotRead
        return ImageFileError(code, "\(path) cannot be read: \(String(cString: strerror(number))).", systemError: number)
    }
}
