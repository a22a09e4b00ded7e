import ImageConditioning
import ImageFiles
import Rendering
import Resampling

/// Reads the picture to start from, and its mask, from files.
struct SourceLoading {
    /// Paths; nil where the user gave none.
    let picture: String?
    let mask: String?
    /// The size asked for; nil is the picture's own.
    let width: Int?
    let height: Int?

    /// nil without a picture.
    ///
    /// A picture of another size than asked for is resized (Lanczos), a mask is resized to the picture by nearest pixels. What
    /// is transparent in a picture is laid over white.
    func load() throws(CommandFailure) -> SourcePicture? {
        guard let picture else {
            guard mask == nil else {
                throw CommandFailure(.usage, "A mask says which part of a picture is made anew: give the picture with -i.")
            }
            return nil
        }
        let image = try decode(picture)
        let own = (width: image.width, height: image.height)
        let size = (width: width ?? own.width, height: height ?? own.height)
        if size == own, own.width % 8 != 0 || own.height % 8 != 0 {
            throw CommandFailure(
                .usage,
                "\(picture) has \(own.width)×\(own.height) px, and sides must be multiples of 8: choose a size, such as "
                    + "-W \(max(64, own.width / 8 * 8)) -H \(max(64, own.height / 8 * 8)), to which it is resized.")
        }
        // Before a picture of that size is made.
        do {
            try RenderRequest.check(width: size.width, height: size.height)
            try SourcePicture.checkSize(width: size.width, height: size.height, masked: mask != nil)
        } catch {
            throw CommandFailure(error)
        }
        let rgb = ImageResizer.lanczos(Self.overWhite(image), channels: 3, size: own, to: size)
        do {
            return try SourcePicture(width: size.width, height: size.height, rgb: rgb, mask: try maskPixels(for: own, size))
        } catch let error as RenderError {
            throw CommandFailure(error)
        } catch let error as CommandFailure {
            throw error
        } catch {
            throw CommandFailure(.internalFault, "\(error)")
        }
    }

    /// 1 where the mask marks the picture, at the size of the picture that is asked for.
    private func maskPixels(
        for own: (width: Int, height: Int), _ size: (width: Int, height: Int)
    ) throws(CommandFailure) -> [UInt8]? {
        guard let mask else { return nil }
        let image = try decode(mask)
        let found = (width: image.width, height: image.height)
        guard found == own || found == size else {
            throw CommandFailure(
                .usage,
                "The mask \(mask) has \(found.width)×\(found.height) px, but the picture has \(own.width)×\(own.height): "
                    + "make the mask as large as the picture.")
        }
        let binary: [UInt8]
        do {
            binary = try Self.mask(image).bytes
        } catch {
            throw CommandFailure(.badInput, error.message)
        }
        return ImageResizer.nearest(binary, size: found, to: size)
    }

    private func decode(_ path: String) throws(CommandFailure) -> DecodedImage {
        do { return try ImageDecoder.decode(file: path) } catch { throw CommandFailure(error) }
    }

    private static func mask(_ image: DecodedImage) throws(ConditioningError) -> InpaintMask {
        image.channels == 4
            ? try InpaintMask(rgba: image.pixels, height: image.height, width: image.width)
            : try InpaintMask(rgb: image.pixels, height: image.height, width: image.width)
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
