//! The read: one observation by a camera, normalised (`intake.md` section 1), and its record, the compact CBOR that is
//! sealed into a cell. A read never carries what `intake.md` forbids (people, owners, GPS, speed): there is no field for it.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::error::{Error, Result};
use crate::json::json_names;
use crate::limits::RECORD_BYTES_MAX;
use crate::plate::{Jurisdiction, Plate};

json_names! {
    /// How good the capture time is.
    TimeQuality {
        /// 1: an offset or epoch number came with it.
        Exact = "exact",
        /// 2: local text in the zone configured for the source.
        AssumedZone = "assumed_zone",
        /// 3: local text in a repeated or skipped hour.
        Ambiguous = "ambiguous",
        /// 4: start of the tracked object.
        ObjectStart = "object_start",
        /// 5: the camera's clock is wrong; the time of receipt is used and the source's time kept beside it.
        ReceiveTime = "receive_time",
    }
    /// A flag by its name.
    ReadFlag {
        /// [`ReadFlags::OVERLONG`].
        Overlong = "overlong",
        /// [`ReadFlags::CLOCK_OFF`].
        ClockOff = "clock_off",
        /// [`ReadFlags::LATE`].
        Late = "late",
        /// [`ReadFlags::HELD_OUT`].
        HeldOut = "held_out",
        /// [`ReadFlags::CUT`].
        Cut = "cut",
    }
}

impl TimeQuality {
    const fn code(self) -> u8 {
        match self {
            Self::Exact => 1,
            Self::AssumedZone => 2,
            Self::Ambiguous => 3,
            Self::ObjectStart => 4,
            Self::ReceiveTime => 5,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Exact),
            2 => Some(Self::AssumedZone),
            3 => Some(Self::Ambiguous),
            4 => Some(Self::ObjectStart),
            5 => Some(Self::ReceiveTime),
            _ => None,
        }
    }
}

/// Relative motion of the vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Motion {
    /// 0
    #[default]
    Unknown,
    /// 1: towards the camera.
    Approaching,
    /// 2: away from it.
    Receding,
}

/// A code of a closed list with its confidence in 1/1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coded {
    /// Number in the list (`lockplate-intake`, `vehicle.rs`).
    pub code: u16,
    /// 0..=1000; absent when the source gives none.
    pub conf: Option<u16>,
}

/// What the engine said about the vehicle; each part may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Vehicle {
    /// Body class.
    pub class: Option<Coded>,
    /// Make.
    pub make: Option<Coded>,
    /// Colour.
    pub colour: Option<Coded>,
}

/// Flags of a read, bit by bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReadFlags(pub u16);

impl ReadFlags {
    /// The plate text was cut to 16 characters.
    pub const OVERLONG: u16 = 1;
    /// The camera's clock was off.
    pub const CLOCK_OFF: u16 = 1 << 1;
    /// Sealed into a late epoch.
    pub const LATE: u16 = 1 << 2;
    /// The hold ended before the source said final.
    pub const HELD_OUT: u16 = 1 << 3;
    /// Optional fields were cut to fit the cell.
    pub const CUT: u16 = 1 << 4;

    /// Is the bit set?
    #[must_use]
    pub const fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    /// The same with the bit set.
    #[must_use]
    pub const fn with(self, bit: u16) -> Self {
        Self(self.0 | bit)
    }

    /// The flags that are set, in the order of their bits.
    #[must_use]
    pub fn names(self) -> Vec<ReadFlag> {
        let all = [
            (Self::OVERLONG, ReadFlag::Overlong),
            (Self::CLOCK_OFF, ReadFlag::ClockOff),
            (Self::LATE, ReadFlag::Late),
            (Self::HELD_OUT, ReadFlag::HeldOut),
            (Self::CUT, ReadFlag::Cut),
        ];
        all.into_iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| name).collect()
    }
}

/// What a time or text that looks certain does not say of itself, in words for whoever is shown the read; `source_time` is text. A late
/// read is none: its time is as good as any.
#[must_use]
pub fn remarks(quality: TimeQuality, source_time: Option<&str>, flags: &[ReadFlag]) -> Vec<String> {
    let mut said: Vec<String> = match quality {
        TimeQuality::Exact => None,
        TimeQuality::AssumedZone => Some("time in the zone set for the camera, which named none"),
        TimeQuality::Ambiguous => Some("clocks were changed in that hour: the time may be an hour off"),
        TimeQuality::ObjectStart => Some("time when the vehicle came into view"),
        TimeQuality::ReceiveTime => Some("camera clock wrong: time of receipt"),
    }
    .map(str::to_owned)
    .into_iter()
    .collect();
    said.extend(source_time.map(|time| format!("the camera said {time}")));
    said.extend(flags.iter().filter_map(|flag| {
        let words = match flag {
            ReadFlag::Overlong => "the text was longer and is cut",
            ReadFlag::ClockOff if quality != TimeQuality::ReceiveTime => "camera clock wrong",
            ReadFlag::ClockOff | ReadFlag::Late => return None,
            ReadFlag::HeldOut => "taken before the camera's last word on it",
            ReadFlag::Cut => "some details did not fit and are left out",
        };
        Some(words.to_owned())
    }));
    said
}

/// A normalised read. Confidences are 1/1000; times are Unix milliseconds.
#[derive(Clone, PartialEq, Eq)]
pub struct Read {
    /// Configured source.
    pub source: u16,
    /// First 8 bytes of SHA-256("LPv1 engine-ref" || u16 source || the engine's id).
    pub engine_ref: Option<[u8; 8]>,
    /// Camera, from the camera register.
    pub camera: u32,
    /// Capture time, Unix ms.
    pub captured_at: i64,
    /// The source's own time where [`TimeQuality::ReceiveTime`] replaced it, Unix ms.
    pub source_time: Option<i64>,
    /// Quality of the capture time.
    pub time_quality: TimeQuality,
    /// Canonical text, not folded.
    pub plate: Plate,
    /// The jurisdiction the engine named.
    pub jurisdiction: Option<Jurisdiction>,
    /// Confidence of the jurisdiction.
    pub jur_conf: Option<u16>,
    /// True if the jurisdiction is good enough to be part of the key (kind 1): `intake.md` section 2.
    pub jurisdiction_trusted: bool,
    /// Confidence of the plate text; absent when the source gives none.
    pub conf: Option<u16>,
    /// Vehicle.
    pub vehicle: Vehicle,
    /// Motion.
    pub motion: Motion,
    /// Frames merged into this read.
    pub frames: u16,
    /// Flags.
    pub flags: ReadFlags,
}

impl core::fmt::Debug for Read {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Read(..)")
    }
}

impl Read {
    /// A read that no camera made, of a plate as if it were read beyond doubt: to ask what a list says of it. It is never sealed.
    #[must_use]
    pub fn beyond_doubt(plate: Plate, jurisdiction: Option<Jurisdiction>, captured_at: i64) -> Self {
        Self {
            source: 0,
            engine_ref: None,
            camera: 0,
            captured_at,
            source_time: None,
            time_quality: TimeQuality::Exact,
            plate,
            jurisdiction,
            jur_conf: jurisdiction.map(|_| 1_000),
            jurisdiction_trusted: true,
            conf: Some(1_000),
            vehicle: Vehicle::default(),
            motion: Motion::Unknown,
            frames: 1,
            flags: ReadFlags::default(),
        }
    }

    /// The jurisdiction that becomes part of the key, if any: a trusted one, and none where the text was cut. The flag says
    /// that, not the plate: the sealer sees the record, whose text fits.
    #[must_use]
    pub fn key_jurisdiction(&self) -> Option<Jurisdiction> {
        let cut = self.flags.has(ReadFlags::OVERLONG) || self.plate.is_overlong();
        self.jurisdiction.filter(|_| self.jurisdiction_trusted && !cut)
    }

    /// The record: CBOR map with integer keys in rising order, at most 195 bytes. What does not fit is cut, longest
    /// optional field first, and flagged.
    ///
    /// # Errors
    /// `Internal` if even the mandatory fields do not fit, which the bounds of [`Plate`] exclude.
    pub fn to_record(&self) -> Result<Vec<u8>> {
        let mut fields = self.fields()?;
        let mut flags = self.flags;
        loop {
            let record = encode(&fields, flags)?;
            if record.len() <= RECORD_BYTES_MAX {
                return Ok(record);
            }
            let longest = fields
                .iter()
                .enumerate()
                .filter(|(_, field)| !field.mandatory)
                .max_by_key(|(_, field)| field.value.len())
                .map(|(at, _)| at)
                .ok_or(Error::internal("a record without optional fields does not fit a cell"))?;
            fields.remove(longest);
            flags = flags.with(ReadFlags::CUT);
        }
    }

    fn fields(&self) -> Result<Vec<Field>> {
        let mut out = vec![
            Field::new(1, true, |e| e.i64(self.captured_at).map(drop))?,
            Field::new(2, true, |e| e.u8(self.time_quality.code()).map(drop))?,
            Field::new(3, true, |e| e.u32(self.camera).map(drop))?,
            Field::new(4, true, |e| e.str(self.plate.expose_text()).map(drop))?,
            Field::new(5, true, |e| e.u16(self.source).map(drop))?,
        ];
        if let Some(code) = &self.jurisdiction {
            out.push(Field::new(6, true, |e| e.str(code.code()).map(drop))?);
            out.push(Field::new(7, true, |e| e.bool(self.jurisdiction_trusted).map(drop))?);
        }
        for (key, value) in [(8, self.jur_conf), (9, self.conf)] {
            if let Some(conf) = value {
                out.push(Field::new(key, false, |e| e.u16(conf).map(drop))?);
            }
        }
        if let Some(reference) = &self.engine_ref {
            // Mandatory: without it a retried read would be shown twice (I9).
            out.push(Field::new(10, true, |e| e.bytes(reference).map(drop))?);
        }
        match self.motion {
            Motion::Unknown => {}
            Motion::Approaching => out.push(Field::new(11, false, |e| e.u8(1).map(drop))?),
            Motion::Receding => out.push(Field::new(11, false, |e| e.u8(2).map(drop))?),
        }
        for (key, coded) in [(12, self.vehicle.class), (13, self.vehicle.make), (14, self.vehicle.colour)] {
            if let Some(Coded { code, conf }) = coded {
                out.push(Field::new(key, false, |e| {
                    e.array(2)?.u16(code)?;
                    match conf {
                        Some(conf) => e.u16(conf).map(drop),
                        None => e.null().map(drop),
                    }
                })?);
            }
        }
        if let Some(time) = self.source_time {
            out.push(Field::new(15, false, |e| e.i64(time).map(drop))?);
        }
        if self.frames > 1 {
            out.push(Field::new(16, false, |e| e.u16(self.frames).map(drop))?);
        }
        Ok(out)
    }

    /// Reads a record back. Total; refuses unknown keys, wrong types, a text that is not canonical, trailing bytes.
    ///
    /// # Errors
    /// `Malformed` for anything that [`Read::to_record`] could not have written.
    pub fn from_record(record: &[u8]) -> Result<Self> {
        decode(record).map_err(|_malformed| Error::malformed("a record is not well-formed"))?.build()
    }
}

type CborError = minicbor::encode::Error<core::convert::Infallible>;

struct Field {
    key: u8,
    mandatory: bool,
    value: Vec<u8>,
}

impl Field {
    fn new(
        key: u8,
        mandatory: bool,
        write: impl FnOnce(&mut Encoder<&mut Vec<u8>>) -> core::result::Result<(), CborError>,
    ) -> Result<Self> {
        let mut value = Vec::with_capacity(16);
        write(&mut Encoder::new(&mut value)).map_err(|_never| Error::internal("CBOR encoding failed"))?;
        Ok(Self { key, mandatory, value })
    }
}

fn encode(fields: &[Field], flags: ReadFlags) -> Result<Vec<u8>> {
    let flags = if flags.0 == 0 { None } else { Some(Field::new(17, true, |e| e.u16(flags.0).map(drop))?) };
    let count = fields.len().saturating_add(usize::from(flags.is_some()));
    let mut out = Vec::with_capacity(RECORD_BYTES_MAX);
    Encoder::new(&mut out)
        .map(u64::try_from(count).unwrap_or(u64::MAX))
        .map_err(|_never| Error::internal("CBOR encoding failed"))?;
    for field in fields.iter().chain(&flags) {
        Encoder::new(&mut out).u8(field.key).map_err(|_never| Error::internal("CBOR encoding failed"))?;
        out.extend_from_slice(&field.value);
    }
    Ok(out)
}

#[derive(Default)]
struct Parts {
    captured_at: Option<i64>,
    quality: Option<u8>,
    camera: Option<u32>,
    text: Option<String>,
    source: Option<u16>,
    jurisdiction: Option<String>,
    trusted: Option<bool>,
    jur_conf: Option<u16>,
    conf: Option<u16>,
    engine_ref: Option<[u8; 8]>,
    motion: Option<u8>,
    class: Option<Coded>,
    make: Option<Coded>,
    colour: Option<Coded>,
    source_time: Option<i64>,
    frames: Option<u16>,
    flags: Option<u16>,
}

fn decode(record: &[u8]) -> core::result::Result<Parts, minicbor::decode::Error> {
    let bad = || minicbor::decode::Error::message("record");
    let mut d = Decoder::new(record);
    let count = d.map()?.ok_or_else(bad)?;
    let mut parts = Parts::default();
    let mut last = 0;
    for _ in 0..count {
        let key = d.u8()?;
        if key <= last {
            return Err(bad());
        }
        last = key;
        match key {
            1 => parts.captured_at = Some(d.i64()?),
            2 => parts.quality = Some(d.u8()?),
            3 => parts.camera = Some(d.u32()?),
            4 => parts.text = Some(d.str()?.to_owned()),
            5 => parts.source = Some(d.u16()?),
            6 => parts.jurisdiction = Some(d.str()?.to_owned()),
            7 => parts.trusted = Some(d.bool()?),
            8 => parts.jur_conf = Some(d.u16()?),
            9 => parts.conf = Some(d.u16()?),
            10 => parts.engine_ref = Some(d.bytes()?.try_into().map_err(|_len| bad())?),
            11 => parts.motion = Some(d.u8()?),
            12 => parts.class = Some(coded(&mut d)?),
            13 => parts.make = Some(coded(&mut d)?),
            14 => parts.colour = Some(coded(&mut d)?),
            15 => parts.source_time = Some(d.i64()?),
            16 => parts.frames = Some(d.u16()?),
            17 => parts.flags = Some(d.u16()?),
            _ => return Err(bad()),
        }
    }
    if d.position() == record.len() { Ok(parts) } else { Err(bad()) }
}

fn coded(d: &mut Decoder<'_>) -> core::result::Result<Coded, minicbor::decode::Error> {
    if d.array()? != Some(2) {
        return Err(minicbor::decode::Error::message("record"));
    }
    let code = d.u16()?;
    let conf = if d.datatype()? == Type::Null {
        d.null()?;
        None
    } else {
        Some(d.u16()?)
    };
    Ok(Coded { code, conf })
}

impl Parts {
    fn build(self) -> Result<Read> {
        let bad = Error::malformed("a record is not well-formed");
        let text = self.text.ok_or_else(|| bad.clone())?;
        let plate = Plate::parse(&text).filter(|p| p.expose_text() == text).ok_or_else(|| bad.clone())?;
        let jurisdiction = match self.jurisdiction {
            None => None,
            Some(code) => Some(Jurisdiction::parse(&code).ok_or_else(|| bad.clone())?),
        };
        let motion = match self.motion {
            None | Some(0) => Motion::Unknown,
            Some(1) => Motion::Approaching,
            Some(2) => Motion::Receding,
            Some(_) => return Err(bad),
        };
        Ok(Read {
            source: self.source.ok_or_else(|| bad.clone())?,
            engine_ref: self.engine_ref,
            camera: self.camera.ok_or_else(|| bad.clone())?,
            captured_at: self.captured_at.ok_or_else(|| bad.clone())?,
            source_time: self.source_time,
            time_quality: self.quality.and_then(TimeQuality::from_code).ok_or_else(|| bad.clone())?,
            plate,
            jurisdiction,
            jur_conf: self.jur_conf,
            jurisdiction_trusted: self.trusted.unwrap_or(false),
            conf: self.conf,
            vehicle: Vehicle { class: self.class, make: self.make, colour: self.colour },
            motion,
            frames: self.frames.unwrap_or(1),
            flags: ReadFlags(self.flags.unwrap_or(0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full() -> Read {
        Read {
            source: 3,
            engine_ref: Some([9; 8]),
            camera: 77,
            captured_at: 1_774_000_000_123,
            source_time: Some(1_774_000_999_000),
            time_quality: TimeQuality::ReceiveTime,
            plate: Plate::parse("ABCDEFGHJKLMNPRT").unwrap(),
            jurisdiction: Jurisdiction::parse("US-CT"),
            jur_conf: Some(912),
            jurisdiction_trusted: true,
            conf: Some(871),
            vehicle: Vehicle {
                class: Some(Coded { code: 400, conf: Some(1000) }),
                make: Some(Coded { code: 1000, conf: None }),
                colour: Some(Coded { code: 7, conf: Some(3) }),
            },
            motion: Motion::Receding,
            frames: 17,
            flags: ReadFlags(ReadFlags::LATE),
        }
    }

    #[test]
    fn a_full_record_fits_and_comes_back() {
        let read = full();
        let record = read.to_record().unwrap();
        assert!(record.len() <= RECORD_BYTES_MAX, "{}", record.len());
        assert_eq!(Read::from_record(&record).unwrap(), read);
    }

    #[test]
    fn a_minimal_record_comes_back() {
        let mut read = full();
        read.engine_ref = None;
        read.jurisdiction = None;
        read.jurisdiction_trusted = false;
        read.jur_conf = None;
        read.conf = None;
        read.vehicle = Vehicle::default();
        read.motion = Motion::Unknown;
        read.source_time = None;
        read.frames = 1;
        read.flags = ReadFlags::default();
        assert_eq!(Read::from_record(&read.to_record().unwrap()).unwrap(), read);
    }

    #[test]
    fn a_cut_plate_has_the_same_key_before_and_after_its_record() {
        let mut read = full();
        read.plate = Plate::parse("ABCDEFGHJKLMNPRTX").unwrap();
        assert!(read.plate.is_overlong());
        assert_eq!(read.key_jurisdiction(), None);
        read.flags = read.flags.with(ReadFlags::OVERLONG);
        let sealed = Read::from_record(&read.to_record().unwrap()).unwrap();
        assert_eq!((sealed.key_jurisdiction(), sealed.jurisdiction), (None, read.jurisdiction));
    }

    #[test]
    fn a_record_with_one_byte_more_or_less_is_refused() {
        let mut record = full().to_record().unwrap();
        assert!(Read::from_record(&record[..record.len() - 1]).is_err());
        record.push(0);
        assert!(Read::from_record(&record).is_err());
    }

    #[test]
    fn what_a_time_does_not_say_of_itself_is_said() {
        use TimeQuality as Q;
        let said =
            |quality, source_time, flags: u16| remarks(quality, source_time, &ReadFlags(flags).names()).join("; ");
        let camera = Some("2026-11-22T14:00:07.250Z");
        assert_eq!(said(Q::Exact, None, 0), "");
        assert_eq!(said(Q::Exact, None, ReadFlags::LATE), "", "its time is the camera's");
        assert_eq!(
            said(Q::ReceiveTime, camera, ReadFlags::CLOCK_OFF),
            "camera clock wrong: time of receipt; the camera said 2026-11-22T14:00:07.250Z"
        );
        assert_eq!(said(Q::Exact, None, ReadFlags::CLOCK_OFF), "camera clock wrong");
        for quality in [Q::AssumedZone, Q::Ambiguous, Q::ObjectStart] {
            assert!(!said(quality, None, 0).is_empty(), "{quality:?}");
        }
        let all = ReadFlags(0b1_1111).names();
        let names: Vec<_> = all.iter().map(|flag| flag.name()).collect();
        assert_eq!(names, ["overlong", "clock_off", "late", "held_out", "cut"]);
        assert_eq!(remarks(Q::ReceiveTime, None, &all).len(), 4);
    }

    proptest! {
        #[test]
        fn decoding_is_total(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(Read::from_record(&bytes));
        }
    }
}
