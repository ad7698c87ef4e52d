"""Drivers, one file per instrument model."""

DRIVERS = {
    "hubersuhner.polatis": "qhal_drivers.hubersuhner.polatis:Polatis",
    "idquantique.id900": "qhal_drivers.idquantique.id900:Id900",
    "ozoptics.dd100": "qhal_drivers.ozoptics.dd100:Dd100",
    "purephotonics.ppcl550": "qhal_drivers.purephotonics.ppcl550:Ppcl550",
    "singlequantum.websq": "qhal_drivers.singlequantum.websq:WebSq",
    "tektronix.awg5014": "qhal_drivers.tektronix.awg5014:Awg5014",
    "thorlabs.mpc320": "qhal_drivers.thorlabs.mpc320:Mpc320",
    "thorlabs.pm100d": "qhal_drivers.thorlabs.pm100d:Pm100d",
}
