import ImageConditioning
import ImageFiles
import Rendering
import Resampling
import Sentences

/// A user's picture: PNG, JPEG or WebP.
public enum PictureInput: Sendable, Equatable {
    /// A path on this host.
    case file(String)
    /// The bytes of a file from elsewhere.
    case bytes([UInt8])
}

/// Reads the picture to start from, and its mask.
struct SourceLoading {
    let picture: PictureInput?
    let mask: PictureInput?
    /// The requested size; nil is the picture's own.
    let width: Int?
    let height: Int?

    /// The picture at the requested size; nil without a picture.
    ///
    /// It resizes the picture by Lanczos and the mask by nearest pixels, and lays transparent parts over white.
    func load() throws(RequestError) -> SourcePicture? {
        guard let picture else {
            guard mask == nil else {
                throw .invalid("A mask needs a picture to start from: give the picture with \(.initImg).", about: .mask)
            }
            return nil
        }
        let (image, name) = try Self.decode(picture, called: "The picture", .initImg)
        let own = (width: image.width, height: image.height)
        let size = (width: width ?? own.width, height: height ?? own.height)
        let multiple = RenderRequest.sideMultiple
        if size == own, !own.width.isMultiple(of: multiple) || !own.height.isMultiple(of: multiple) {
            func below(_ side: Int) -> Int { max(64, side / multiple * multiple) }
            throw .invalid(
                "\(name) has \(own.width)×\(own.height) px, and sides must be multiples of \(multiple): choose a size, such as "
                    + "\(.width) \(below(own.width)) \(.height) \(below(own.height)), to which it is resized.",
                about: .initImg)
        }
        // This comes before the work on a picture of that size.
        do {
            try RenderRequest.check(width: size.width, height: size.height)
            try SourcePicture.checkSize(width: size.width, height: size.height, masked: mask != nil)
        } catch {
            // Without a size of its own the request has the picture's.
            throw width == nil && height == nil ? RequestError(error).blaming(.initImg) : RequestError(error)
        }
        let marked = try maskPixels(for: own, size)
        let rgb = ImageResizer.lanczos(Self.overWhite(image), channels: 3, size: own, to: size)
        do { return try SourcePicture(width: size.width, height: size.height, rgb: rgb, mask: marked) } catch {
            throw RequestError(error)
        }
    }

    /// 1 where the mask marks the picture, at the requested size.
    private func maskPixels(
        for own: (width: Int, height: Int), _ size: (width: Int, height: Int)
    ) throws(RequestError) -> [UInt8]? {
        guard let mask else { return nil }
        let image = try Self.decode(mask, called: "The mask", .mask).image
        let found = (width: image.width, height: image.height)
        guard found == own || found == size else {
            throw .invalid(
                "\(Self.title(of: mask)) has \(found.width)×\(found.height) px, but the picture has "
                    + "\(own.width)×\(own.height): make the mask as large as the picture.", about: .mask)
        }
        do { return ImageResizer.nearest(try Self.mask(image).bytes, size: found, to: size) } catch {
            throw RequestError(.badInput, "\(error.message)").about(.mask)
        }
    }

    /// The picture, and its name for messages.
    private static func decode(
        _ input: PictureInput, called role: String, _ setting: Setting
    ) throws(RequestError) -> (image: DecodedImage, name: String) {
        do {
            switch input {
            case .file(let path): return (try ImageDecoder.decode(file: path), path)
            case .bytes(let bytes): return (try ImageDecoder.decode(bytes, name: role), role)
            }
        } catch {
            throw RequestError(error).about(setting)
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
