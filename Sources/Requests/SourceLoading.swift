import ImageConditioning
import ImageFiles
import Rendering
import Resampling
import Sentences

/// A picture that a user gives: PNG, JPEG or WebP.
public enum PictureInput: Sendable, Equatable {
    /// A path on this host.
    case file(String)
    /// The bytes of a file that came another way.
    case bytes([UInt8])
}

/// Reads the picture to start from, and its mask.
struct SourceLoading {
    /// nil where the user gave none.
    let picture: PictureInput?
    let mask: PictureInput?
    /// The size asked for; nil is the picture's own.
    let width: Int?
    let height: Int?

    /// nil without a picture.
    ///
    /// A picture of another size than asked for is resized (Lanczos), a mask is resized to the picture by nearest pixels. What
    /// is transparent in a picture is laid over white.
    func load() throws(RequestError) -> SourcePicture? {
        guard let picture else {
            guard mask == nil else {
                throw RequestError(
                    .invalid, "A mask says which part of a picture is made anew: give the picture with \(.initImg).")
            }
            return nil
        }
        let (image, name) = try Self.decode(picture, called: "The picture")
        let own = (width: image.width, height: image.height)
        let size = (width: width ?? own.width, height: height ?? own.height)
        let multiple = RenderRequest.sideMultiple
        if size == own, !own.width.isMultiple(of: multiple) || !own.height.isMultiple(of: multiple) {
            func below(_ side: Int) -> Int { max(64, side / multiple * multiple) }
            throw RequestError(
                .invalid,
                "\(name) has \(own.width)×\(own.height) px, and sides must be multiples of \(multiple): choose a size, such as \(.width) \(below(own.width)) \(.height) \(below(own.height)), to which it is resized."
            )
        }
        // Before a picture of that size is made.
        do {
            try RenderRequest.check(width: size.width, height: size.height)
            try SourcePicture.checkSize(width: size.width, height: size.height, masked: mask != nil)
        } catch {
            throw RequestError(error)
        }
        let marked = try maskPixels(for: own, size)
        let rgb = ImageResizer.lanczos(Self.overWhite(image), channels: 3, size: own, to: size)
        do {
            return try SourcePicture(width: size.width, height: size.height, rgb: rgb, mask: marked)
        } catch {
            throw RequestError(error)
        }
    }

    /// 1 where the mask marks the picture, at the size of the picture that is asked for.
    private func maskPixels(
        for own: (width: Int, height: Int), _ size: (width: Int, height: Int)
    ) throws(RequestError) -> [UInt8]? {
        guard let mask else { return nil }
        let image = try Self.decode(mask, called: "The mask").image
        let found = (width: image.width, height: image.height)
        guard found == own || found == size else {
            throw RequestError(
                .invalid,
                "\(Self.title(of: mask)) has \(found.width)×\(found.height) px, but the picture has \(own.width)×\(own.height): make the mask as large as the picture."
            )
        }
        let binary: [UInt8]
        do {
            binary = try Self.mask(image).bytes
        } catch {
            throw RequestError(.badInput, "\(error.message)")
        }
        return ImageResizer.nearest(binary, size: found, to: size)
    }

    /// The picture, and its name for messages.
    private static func decode(
        _ input: PictureInput, called role: String
    ) throws(RequestError) -> (image: DecodedImage, name: String) {
        do {
            switch input {
            case .file(let path): return (try ImageDecoder.decode(file: path), path)
            case .bytes(let bytes): return (try ImageDecoder.decode(bytes, name: role), role)
            }
        } catch {
            throw RequestError(error)
        }
    }

    private static func title(of mask: PictureInput) -> String {
        if case .file(let path) = mask { "The mask \(path)" } else { "The mask" }
    }

    private static func mask(_ image: DecodedImage) throws(ConditioningError) -> InpaintMask {
        try InpaintMask(pixels: image.pixels, channels: image.channels, height: image.height, width: image.width)
    }

    private static func overWhite(_ image: DecodedImage) -> [UInt8] {
        guard image.channels == 4 else { return image.rgb }
        var rgb: [UInt8] = []
        rgb.reserveCapacity(image.width * image.height * 3)
        for pixel in stride(from: 0, to: image.pixels.count, by: 4) {
            let alpha = Int(image.pixels[pixel + 3])
            for channel in 0..<3 {
                rgb.append(UInt8((Int(image.pixels[pixel + channel]) * alpha + 255 * (255 - alpha) + 127) / 255))
            }
        }
        return rgb
    }
}
