import Glibc

/// Reads whole files of bounded size.
enum InputFile {
    static func read(_ path: String, bytesMax: Int) throws(ImageFileError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let code: ImageFileError.Code = errno == ENOENT || errno == ENOTDIR ? .notFound : .cannotRead
            throw failure(code, path, errno)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure(.cannotRead, path, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw ImageFileError(.cannotRead, "\(path) is not a file; give the path of a picture.")
        }
        guard status.st_size <= bytesMax else {
            throw ImageFileError(.tooLarge, "\(path) has \(status.st_size) bytes, more than the \(bytesMax) that are read.")
        }
        return try read(descriptor, count: Int(status.st_size), path)
    }

    /// Up to `count` bytes: fewer when the file has been cut meanwhile, which the decoder reports.
    private static func read(_ descriptor: Int32, count: Int, _ path: String) throws(ImageFileError) -> [UInt8] {
        var failed: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = Glibc.read(descriptor, buffer.baseAddress?.advanced(by: filled), count - filled)
                if got < 0 && errno == EINTR { continue }
                if got < 0 { failed = errno }
                if got <= 0 { break }
                filled += got
            }
        }
        guard failed == 0 else { throw failure(.cannotRead, path, failed) }
        return bytes
    }

    private static func failure(_ code: ImageFileError.Code, _ path: String, _ number: Int32) -> ImageFileError {
        ImageFileError(code, "\(path) cannot be read: \(String(cString: strerror(number))).", systemError: number)
    }
}
